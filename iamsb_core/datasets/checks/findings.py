"""A finding: one thing that is wrong, how often, where, and what to do about it.

A million bad entries are one finding with a count and the first of them, never a million findings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

Severity = Literal["error", "warning", "note"]
"""an error makes training or its numbers wrong; a warning is something to know; a note needs nothing done"""
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Kind = Literal[
    "missing_file",
    "orphan_file",
    "file_listed_twice",
    "unreadable_folder",
    "link_out_of_root",
    "outside_clip",
    "overlapping_segments",
    "shorter_than_a_frame",
    "unknown_duration",
    "unlabelled",
    "person_in_two_splits",
    "original_in_another_split",
    "duplicate_media",
    "empty_split",
    "size_differs",
    "repaired",
    "bad_media",
    "duration_disagrees",
    "frames_disagree",
    "frame_rate_disagrees",
    "varying_frame_rate",
    "stream_cut_short",
    "stream_absent",
    "no_sound",
    "no_picture",
]
MAX_INSTANCES = 10_000
"""places that a finding lists at most; `count` is always exact"""


@dataclass(frozen=True, slots=True)
class Instance:
    """One place where a finding holds."""

    where: str
    """a video_id, a file or a person"""
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found, in `count` places."""

    severity: Severity
    kind: Kind
    message: str
    """one sentence for all places together"""
    advice: str
    """what to do"""
    count: int
    instances: tuple[Instance, ...]
    """the first places, at most MAX_INSTANCES"""

    @property
    def example(self) -> str:
        """The first place in words; nothing where the finding concerns the whole dataset."""
        return self.instances[0].message if self.instances else ""


def finding(
    severity: Severity, kind: Kind, message: str, advice: str, instances: Iterable[tuple[str, str]], *, count: int
) -> Finding:
    """A finding of so many places, of which as many are taken as are listed."""
    listed = tuple(Instance(where, text) for where, text in islice(instances, MAX_INSTANCES))
    return Finding(severity, kind, message, advice, count, listed)


def about_all(severity: Severity, kind: Kind, message: str, advice: str) -> Finding:
    """A finding that concerns the dataset, not a place in it."""
    return Finding(severity, kind, message, advice, 1, ())


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 video`, `1,204 videos`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(words: Sequence[str], limit: int = 3) -> str:
    """`a, b, c and 4 more`."""
    shown = ", ".join(words[:limit])
    return shown if len(words) <= limit else f"{shown} and {len(words) - limit:,} more"
