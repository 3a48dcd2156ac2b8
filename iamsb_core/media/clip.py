"""What decoding gives: one video's picture and sound on one clock that starts at t = 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iamsb_core.timeline import TimeGrid

SAMPLE_RATE_HZ = 16_000
"""Every waveform in this project is mono at this rate."""


class DecodeError(Exception):
    """A video that cannot be used; `kind` says in one word why, the message says what came and the way out."""

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (str(self), self.kind))


def _rebuild(message: str, kind: str) -> DecodeError:
    return DecodeError(message, kind=kind)


@dataclass(frozen=True, kw_only=True)
class FrameView:
    """Which pictures an encoder wants to see. Part of the encoder's identity."""

    rate_hz: float = 25.0
    size_pixels: int = 224
    crop: Literal["face", "centre", "letterbox"] = "face"
    """face: square around the largest face, held steady, centre square where no face is found"""


@dataclass(frozen=True, kw_only=True)
class MediaProbe:
    """What the container says of a file, read without decoding (plus the digest of its bytes)."""

    sha256: str
    size_bytes: int
    duration_seconds: float
    """from the earliest start of the chosen streams to their latest end"""
    container: str
    num_video_streams: int
    num_audio_streams: int
    video_codec: str | None
    width: int
    height: int
    rotation_degrees: int
    """clockwise turn to apply for display: 0, 90, 180 or 270"""
    num_video_frames: int
    """packets that are shown (edit lists applied), 0 without a picture"""
    average_fps: float
    variable_frame_rate: bool
    video_start_seconds: float
    """on the container's clock"""
    audio_codec: str | None
    sample_rate_hz: int
    num_channels: int
    audio_start_seconds: float
    video_bits_per_second: float | None = None
    """as the container states it; None where it does not"""
    audio_bits_per_second: float | None = None
    written_by: str = ""
    """what the container says of the programs and cameras that wrote it, one after another; anyone can write there"""


@dataclass(frozen=True, kw_only=True)
class DecodedClip:
    """Picture and sound of one video, both covering [0, duration_seconds)."""

    probe: MediaProbe
    duration_seconds: float
    waveform: NDArray[np.float32] | None
    """(round(duration_seconds * 16000),) in [-1, 1]; None without an audio stream or when not asked for"""
    frames: NDArray[np.uint8] | None
    """(num_cells, size, size, 3) RGB, one for each cell of `frame_grid`, possibly memory-mapped; None as above"""
    frame_boxes: NDArray[np.float32] | None
    """(num_cells, 4): left, top, right, bottom of the crop in pixels of the upright picture"""
    face_found: NDArray[np.bool_] | None
    """(num_cells,): whether the crop stands on a detected face"""
    frame_grid: TimeGrid | None
    reader: str
    """which reader gave the pictures: `decord`, `pyav` or `none`"""
    warnings: tuple[str, ...] = field(default=())
