"""Decoding in a process of its own: a crash, a hang or a bomb costs one video, never the run."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, DecodeError, FrameView, MediaProbe
from iamsb_core.media.limits import MediaLimits
from iamsb_core.media.process import CrashError, DecodingProcess
from iamsb_core.timeline import TimeGrid

__all__ = ["MediaDecoder", "MediaLimits"]

_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
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

    def decode(self, path: Path, view: FrameView | None, audio: bool = True) -> DecodedClip:
        """Picture (in this view; None: no picture) and sound of one video.

        Raises DecodeError: as `probe`; `too-large`, `too-long`, `damaged`, `disk-full`, `failed`; `crashed`, `timeout`,
        `memory` when the child had to be given up.
        """
        request = {
            "do": "decode",
            "view": asdict(view) if view is not None else None,
            "audio": audio,
            "workdir": self._workdir,
            "decord": True,
        }
        with self._lock:
            try:
                reply, files = self._ask(path, request)
            except CrashError as error:
                if error.signal not in _CRASHES:
                    raise
                reply, files = self._ask(path, {**request, "decord": False})
                reply["outcome"]["warnings"].append(_DECORD_CRASHED)
            return _clip(reply, files, view)

    def _ask(self, path: Path, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """The child's last word on a request and the files that came with it."""
        try:
            return self._ask_child(path, request)
        except CrashError as error:
            if self._aborted:
                raise DecodeError(f"the decoding of {path} was stopped; run it again", kind="aborted") from None
            if error.accepted:
                raise
            return self._ask_child(path, request)  # lost while idle: the system may reap it later than it dies

    def _ask_child(self, path: Path, request: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        if self._child is not None and not self._child.is_alive():
            self._drop()
        if self._child is None:
            self._child = DecodingProcess(self.limits)
        try:
            return self._child.ask({**request, "path": str(path.absolute()), "limits": asdict(self.limits)})
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


def _clip(reply: dict[str, Any], descriptors: list[int], view: FrameView | None) -> DecodedClip:
    """The clip whose arrays lie in these files (waveform, frames, boxes, face_found), mapped, not read."""
    probe, outcome = MediaProbe(**reply["probe"]), reply["outcome"]
    duration = probe.duration_seconds
    with contextlib.ExitStack() as stack:
        waveform, frames, boxes, found = (stack.enter_context(os.fdopen(number, "rb")) for number in descriptors)
        grid = None
        if outcome["has_frames"] and view is not None:
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
