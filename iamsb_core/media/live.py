"""Decoding what is still being written, in a process of its own: pieces of both streams as they become ready."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.clip import DecodeError, FrameView
from iamsb_core.media.crop import CROP_WINDOW_SECONDS
from iamsb_core.media.limits import MediaLimits
from iamsb_core.media.process import DecodingProcess

STDIN = "-"


@dataclass(frozen=True, kw_only=True)
class LivePiece:
    """What became ready since the piece before: the streams go on where they stopped, each by its own amount."""

    has_video: bool
    has_audio: bool
    """what the source holds, not only this piece"""
    frames: NDArray[np.uint8]
    """(num_cells, size, size, 3) RGB in the view; no cells where nothing is ready"""
    face_found: NDArray[np.bool_]
    """(num_cells,)"""
    samples: NDArray[np.float32]
    """(num_samples,) at 16 kHz in [-1, 1]"""
    arrivals: tuple[tuple[float, float], ...]
    """(clip seconds, time.monotonic() seconds): when what lies there was read"""
    behind_seconds: float
    """how much longer than the media lasts it took to get here, since the decoder last had to wait for the writer"""


@dataclass(frozen=True, kw_only=True)
class LiveEnd:
    """What is known once a source ended."""

    duration_seconds: float
    warnings: tuple[str, ...]


def follow(
    source: str,
    view: FrameView,
    use: Callable[[LivePiece], None],
    *,
    idle_seconds: float = 10.0,
    step_seconds: float = CROP_WINDOW_SECONDS,
    limits: MediaLimits | None = None,
    workdir: Path | None = None,
) -> LiveEnd:
    """Decode a growing file, a named pipe, or standard input (`-`) until it ends; `use` takes each piece in order.

    A piece is decoded ahead while one is used; then the decoder waits, and a pipe's writer with it: nothing is lost
    and nothing piles up in memory. step_seconds: the pictures of a piece, which share a crop; with two seconds the
    crops are those of a finished file. There is no limit on time, since a source may be silent for long.
    Raises DecodeError: `missing`, `unreadable`, `empty`, `index-last`, `not-media`, `no-streams`, `too-large`,
    `truncated`, `damaged`, `memory`, `crashed`.
    """
    bounds = replace(limits or MediaLimits(), timeout_seconds=math.inf)
    descriptor = _opened(source)
    name = "standard input" if source == STDIN else source
    wanted = {
        "view": asdict(view),
        "idle_seconds": idle_seconds,
        "step_seconds": step_seconds,
        "max_pixels": bounds.max_pixels,
    }
    request = {"do": "follow", "path": name, "wanted": wanted, "workdir": None if workdir is None else str(workdir)}
    try:
        child = DecodingProcess(bounds)
        try:
            reply, _ = child.ask(request, lambda said, files: use(_piece(said, files, view)), [descriptor])
        finally:
            child.kill()
    finally:
        if source != STDIN:
            os.close(descriptor)
    outcome = reply["outcome"]
    return LiveEnd(duration_seconds=outcome["duration_seconds"], warnings=tuple(outcome["warnings"]))


def _opened(source: str) -> int:
    """A named pipe is waited for until it has a writer."""
    if source == STDIN:
        return 0
    try:
        return os.open(source, os.O_RDONLY)
    except FileNotFoundError as error:
        message = f"{source} does not exist; start its writer first, or make a pipe with `mkfifo`"
        raise DecodeError(message, kind="missing") from error
    except OSError as error:
        raise DecodeError(f"{source} cannot be read ({error.strerror})", kind="unreadable") from error


def _piece(reply: dict[str, Any], descriptors: list[int], view: FrameView) -> LivePiece:
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(os.fdopen(number, "rb")) for number in descriptors]
        size, has_cells = view.size_pixels, reply["num_cells"] > 0 and len(files) > 1
        frames = np.fromfile(files[1], np.uint8) if has_cells else np.zeros(0, np.uint8)
        faces = np.fromfile(files[3], np.bool_) if has_cells else np.zeros(0, np.bool_)
        return LivePiece(
            has_video=reply["probe"]["has_video"],
            has_audio=reply["probe"]["has_audio"],
            frames=frames.reshape(-1, size, size, 3),
            face_found=faces,
            samples=np.fromfile(files[0], np.float32),
            arrivals=tuple((float(seconds), float(at)) for seconds, at in reply["arrivals"]),
            behind_seconds=reply["behind_seconds"],
        )
