"""What one video may cost before it is given up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from iamsb_core.media.clip import DecodeError

MAX_PIXELS = 8192 * 4608
_SPARE_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True)
class MediaLimits:
    """Bounds on the process that decodes. A video may take timeout_seconds + timeout_per_second * its duration."""

    timeout_seconds: float = 60.0
    """for reading the file and its packets; all that a probe gets"""
    timeout_per_second: float = 5.0
    """more for every second of media, once the duration is known"""
    memory_bytes: int = 4 << 30
    """resident memory of the decoding process, looked at 20 times a second"""
    max_duration_seconds: float = 7200.0
    max_duration_in_pieces_seconds: float = 6 * 3600.0
    """of a clip that is used a piece at a time; features take 1.2 GiB of memory an hour while they are made"""
    max_pixels: int = MAX_PIXELS
    """of one picture, whatever the header says"""
    num_threads: int = 1
    """decoding threads; several processes of one thread decode more videos than one process of several"""

    def __post_init__(self) -> None:
        longest = min(self.max_duration_seconds, self.max_duration_in_pieces_seconds)
        if min(self.timeout_seconds, longest, self.memory_bytes, self.max_pixels) <= 0:
            raise ValueError(f"every limit must be positive, got {self}")
        if self.timeout_per_second < 0 or self.num_threads < 1:
            raise ValueError(f"timeout_per_second must be 0 or more and num_threads 1 or more, got {self}")


def check_space(file: BinaryIO, num_bytes: int) -> None:
    """Raises DecodeError `disk-full` where so much cannot be written to the file and some room be left."""
    status = os.fstatvfs(file.fileno())
    free = status.f_bavail * status.f_frsize
    if num_bytes + _SPARE_BYTES > free:
        needed, there = num_bytes / 2**30, free / 2**30
        message = f"decoding needs {needed:.1f} GiB of temporary space, {there:.1f} GiB are free; give another workdir"
        raise DecodeError(message, kind="disk-full")
