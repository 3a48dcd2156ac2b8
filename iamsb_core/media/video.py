"""The pictures of a video in order, each with its time: two readers behind one shape.

decord reads where it can be shown to agree with the container; one linear PyAV pass reads everything else. decord's
faults are silent, so it must pass every check here: a container that it can rewind, the container's own number of
pictures at the container's own times, PyAV's first picture to within a grey level, and an end that does not repeat
itself (it fills in for pictures that it lost with copies of the last one).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av  # noqa: F401  (FFmpeg of PyAV must be loaded before decord's own, or some builds crash)
import decord
import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.container import Damage, first_video, open_media, read_frames
from iamsb_core.media.limits import MAX_PIXELS
from iamsb_core.media.probe import Scan, upright

Pixels = NDArray[np.uint8]

_REWINDABLE = ("mov", "matroska")
_MAX_AHEAD_BYTES = 1 << 30
_MAX_TIME_DIFFERENCE_SECONDS = 0.002
_MAX_GREY_DIFFERENCE = 1.0

decord.logging.set_level(decord.logging.QUIET)


class Picture(NamedTuple):
    """A picture and when it comes on screen."""

    seconds: float
    """on the container's clock"""
    rgb: Callable[[], Pixels]
    """(height, width, 3), upright; converted only when asked for"""


class ReaderDisagreesError(Exception):
    """decord does not show what the container says; what it gave so far is void."""


def decord_pictures(path: Path, scan: Scan, *, num_threads: int = 1) -> Iterator[Picture]:
    """decord, read once from the first picture to the last. Raises ReaderDisagreesError, possibly at the very end."""
    times = _check_decord_may_read(scan)
    try:
        reader = decord.VideoReader(str(path.absolute()), num_threads=num_threads)
        _check_times(reader, times)
        previous: Any = None
        for index, seconds in enumerate(times):
            held = reader.next()
            if index == 0:
                _check_first_picture(held.asnumpy(), scan)
            if index == len(times) - 1 and index > 0 and np.array_equal(held.asnumpy(), previous.asnumpy()):
                raise ReaderDisagreesError("its last two pictures are the same: some may be missing before")
            previous = held
            yield Picture(float(seconds), held.asnumpy)
    except ReaderDisagreesError:
        raise
    except Exception as error:  # decord raises its own errors, RuntimeError and StopIteration for much the same
        raise ReaderDisagreesError(f"it failed: {str(error).splitlines()[:1]}") from error


def pyav_pictures(
    path: Path, damage: Damage, *, num_threads: int = 1, max_pixels: int = MAX_PIXELS
) -> Iterator[Picture]:
    """PyAV, read once from the first packet to the last; pictures out of order or without data are left out."""
    with open_media(path, max_pixels) as container:
        stream = first_video(container)
        if stream is None:
            return
        stream.codec_context.thread_count = num_threads
        stream.thread_type = "AUTO"
        gap_seconds = 1 / float(stream.average_rate or 25)
        size: tuple[int, int] | None = None
        last = -np.inf
        for frame in read_frames(container, stream, damage):
            seconds = frame.time if frame.time is not None else (last + gap_seconds if np.isfinite(last) else 0.0)
            if seconds < last:
                continue
            last, size = seconds, size or (frame.width, frame.height)
            yield Picture(seconds, partial(upright, frame, size=size))


def _check_decord_may_read(scan: Scan) -> NDArray[np.float64]:
    """The times that decord must show, (num_pictures,) seconds."""
    if scan.video is None or scan.first_picture is None:
        raise ReaderDisagreesError("there is no picture")
    if not scan.probe.container.startswith(_REWINDABLE):
        raise ReaderDisagreesError(f"it cannot rewind {scan.probe.container} exactly after its first look at the file")
    if len(scan.video.starts_seconds) * scan.first_picture.nbytes > _MAX_AHEAD_BYTES:
        raise ReaderDisagreesError("it may decode the whole video ahead, which is too large")
    return scan.video.starts_seconds


def _check_times(reader: Any, times: NDArray[np.float64]) -> None:
    if len(reader) != len(times):
        raise ReaderDisagreesError(f"it has {len(reader)} pictures, the container {len(times)}")
    own = reader.get_frame_timestamp(np.arange(len(times)))[:, 0]
    difference = float(np.abs((own - own[0]) - (times - times[0])).max())
    if difference > _MAX_TIME_DIFFERENCE_SECONDS:
        raise ReaderDisagreesError(f"its times differ from the container's by up to {difference:.3f} s")


def _check_first_picture(pixels: Pixels, scan: Scan) -> None:
    first = scan.first_picture
    if first is None or pixels.shape != first.shape:
        raise ReaderDisagreesError(f"its pictures have shape {pixels.shape}")
    if float(np.abs(pixels.astype(np.int16) - first).mean()) > _MAX_GREY_DIFFERENCE:
        raise ReaderDisagreesError("its first picture is another one")
