"""Decoding in a process of its own: a crash, a hang or a bomb costs one video, never the run."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, DecodeError, FrameView, MediaProbe
from iamsb_core.media.limits import MediaLimits
from iamsb_core.media.pieces import ClipPiece, FrameSamples, Piece, PieceSize
from iamsb_core.media.process import CrashError, DecodingProcess
from iamsb_core.timeline import TimeGrid

__all__ = ["MediaDecoder", "MediaLimits"]

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
PIECE = PieceSize(keep=15_000, context=150)
"""ten minutes at 25 Hz, with six seconds on either side: more than the surroundings that features are taken against"""
_DECORD_CRASHED = "decord crashed on this file; PyAV read it instead"


class MediaDecoder:
    """Probes and decodes videos in one child process, started when first needed and again after it was lost.

    A context manager. Calls from several threads are served one after another; for more speed open more decoders.
    """

    def __init__(self, limits: MediaLimits | None = None, workdir: Path | None = None) -> None:
        """workdir: folder for temporary files (nameless; 13.5 GB per hour of video at 224 pixels), the system's own
        if None."""
        self.limits = limits or MediaLimits()
        self._workdir = str(workdir) if workdir is not None else None
        self._lock = threading.Lock()
        self._child: DecodingProcess | None = None
        self._aborted = False

    def __enter__(self) -> MediaDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process; a later call starts another."""
        with self._lock:
            self._drop()

    def abort(self) -> None:
        """End whatever the child is doing, from any thread: a call that waits for it raises DecodeError `aborted`."""
        self._aborted = True
        child = self._child
        if child is not None:
            child.process.kill()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        child = self._child
        return child.process.pid if child is not None else None

    def probe(self, path: Path) -> MediaProbe:
        """As `iamsb_core.media.probe.probe`. Raises DecodeError, also `crashed`, `timeout`, `memory`."""
        with self._lock:
            reply, _ = self._ask(path, {"do": "probe"})
            return MediaProbe(**reply["probe"])

    def decode(
        self,
        path: Path,
        view: FrameView | None,
        audio: bool = True,
        *,
        on_piece: Callable[[ClipPiece], None] | None = None,
        piece: PieceSize = PIECE,
    ) -> DecodedClip:
        """Picture (in this view; None: no picture) and sound of one video.

        on_piece: takes the pictures of a clip that is longer than a piece as they are decoded, in order; the clip that
        is returned then has samples of them, on a coarser grid, and the disk never holds more than a piece. Where
        place.keep_first is 0 the pieces begin anew.
        Raises DecodeError: as `probe`; `too-large`, `too-long`, `damaged`, `disk-full`, `failed`; `crashed`, `timeout`,
        `memory` when the child had to be given up.
        """
        request = {
            "do": "decode",
            "view": asdict(view) if view is not None else None,
            "audio": audio,
            "workdir": self._workdir,
            "decord": True,
            "pieces": asdict(piece) if on_piece is not None else None,
        }
        samples = FrameSamples()

        def use(reply: dict[str, Any], files: list[int]) -> None:
            found = _piece(reply, files, view)
            samples.take(found)
            if on_piece is not None:
                on_piece(found)

        with self._lock:
            try:
                reply, files = self._ask(path, request, use)
            except CrashError as error:
                if error.signal not in _CRASHES or samples.num_taken:  # pieces are read without decord
                    raise
                reply, files = self._ask(path, {**request, "decord": False}, use)
                reply["outcome"]["warnings"].append(_DECORD_CRASHED)
            if samples.num_taken and not reply["outcome"]["has_frames"]:
                samples.forget()
            clip = _clip(reply, files, view, mapped=not samples.num_taken)
            return replace(clip, **samples.arrays()) if samples.num_taken else clip

    def _ask(
        self, path: Path, request: dict[str, Any], on_piece: Callable[[dict[str, Any], list[int]], None] | None = None
    ) -> tuple[dict[str, Any], list[int]]:
        """The child's last word on a request and the files that came with it."""
        try:
            return self._ask_child(path, request, on_piece)
        except CrashError as error:
            if self._aborted:
                raise DecodeError(f"the decoding of {path} was stopped; run it again", kind="aborted") from None
            if error.accepted:
                raise
            return self._ask_child(
                path, request, on_piece
            )  # lost while idle: the system may reap it later than it dies

    def _ask_child(
        self, path: Path, request: dict[str, Any], on_piece: Callable[[dict[str, Any], list[int]], None] | None
    ) -> tuple[dict[str, Any], list[int]]:
        if self._child is not None and not self._child.is_alive():
            self._drop()
        if self._child is None:
            self._child = DecodingProcess(self.limits)
        try:
            whole = {**request, "path": str(path.absolute()), "limits": asdict(self.limits)}
            return self._child.ask(whole, on_piece)
        except DecodeError as error:
            if error.kind in DecodingProcess.LOST:
                self._drop()
            raise
        except BaseException:
            self._drop()  # interrupted half way: what the child says next would answer another question
            raise
        finally:
            if self._child is not None and self._child.resident_bytes() > self.limits.memory_bytes / 2:
                self._drop()  # decoders leak; a fresh process starts small

    def _drop(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None


def _piece(reply: dict[str, Any], descriptors: list[int], view: FrameView | None) -> ClipPiece:
    """The piece whose arrays lie in these files (frames, boxes, face_found), mapped, not read."""
    assert view is not None
    place = Piece(**reply["place"])
    num_cells, size = place.last - place.first, view.size_pixels
    with contextlib.ExitStack() as stack:
        frames, boxes, found = (stack.enter_context(os.fdopen(number, "rb")) for number in descriptors)
        clip = DecodedClip(
            probe=MediaProbe(**reply["probe"]),
            duration_seconds=num_cells / view.rate_hz,
            waveform=None,
            frames=_mapped(frames, np.uint8, (num_cells, size, size, 3)),
            frame_boxes=np.fromfile(boxes, np.float32).reshape(-1, 4),
            face_found=np.fromfile(found, np.bool_),
            frame_grid=TimeGrid(1 / view.rate_hz, num_cells),
            reader="pyav",
        )
    return ClipPiece(clip, place)


def _clip(reply: dict[str, Any], descriptors: list[int], view: FrameView | None, *, mapped: bool = True) -> DecodedClip:
    """The clip whose arrays lie in these files (waveform, frames, boxes, face_found), mapped, not read.

    mapped: whether its pictures lie there too.
    """
    probe, outcome = MediaProbe(**reply["probe"]), reply["outcome"]
    duration = probe.duration_seconds
    with contextlib.ExitStack() as stack:
        waveform, frames, boxes, found = (stack.enter_context(os.fdopen(number, "rb")) for number in descriptors)
        grid = None
        if outcome["has_frames"] and view is not None and mapped:
            grid = TimeGrid.covering(duration, 1 / view.rate_hz)
        cells = grid.num_cells if grid is not None else 0
        size = view.size_pixels if view is not None else 0
        num_samples = round(duration * SAMPLE_RATE_HZ)
        return DecodedClip(
            probe=probe,
            duration_seconds=duration,
            waveform=_mapped(waveform, np.float32, (num_samples,)) if outcome["has_waveform"] else None,
            frames=_mapped(frames, np.uint8, (cells, size, size, 3)) if grid is not None else None,
            frame_boxes=np.fromfile(boxes, np.float32).reshape(-1, 4) if grid is not None else None,
            face_found=np.fromfile(found, np.bool_) if grid is not None else None,
            frame_grid=grid,
            reader=outcome["reader"],
            warnings=tuple(outcome["warnings"]),
        )


def _mapped(file: BinaryIO, dtype: type[Any], shape: tuple[int, ...]) -> Any:
    """The file's numbers as an array; writing to it changes only this process's copy, which PyTorch insists on."""
    return np.memmap(file, dtype, "c", shape=shape) if math.prod(shape) else np.zeros(shape, dtype)
