"""Forged segments against their clip and against one another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from iamsb_core.datasets.checks.columns import Columns
from iamsb_core.datasets.checks.findings import Finding, counted, finding
from iamsb_core.manifest import STREAMS, stream_name

TOLERANCE_SECONDS = 0.04
"""one video frame: how far a segment may stand over the clip's end, and stated and decoded durations may differ"""


def check_segments(columns: Columns, durations_seconds: NDArray[np.float64], *, probed: bool) -> Iterator[Finding]:
    """durations_seconds: (N,) the best known, NaN where nothing is; probed: whether the files were asked."""
    yield from _outside(columns, durations_seconds)
    yield from _overlapping(columns)
    yield from _shorter_than_a_frame(columns)
    if not probed:  # otherwise what could not be read is told with its reason
        yield from _unknown(columns, durations_seconds)


def _outside(columns: Columns, durations_seconds: NDArray[np.float64]) -> Iterator[Finding]:
    clip_ends = durations_seconds[columns.owners]
    outside = np.flatnonzero(columns.ends_seconds > clip_ends + TOLERANCE_SECONDS)
    if not len(outside):
        return

    def instances() -> Iterator[tuple[str, str]]:
        for index in outside.tolist():
            name = columns.videos[columns.owners[index]].video_id
            place = f"{name}: the forged segment {_segment(columns, index)} lies outside the clip"
            yield name, f"{place}, which lasts {clip_ends[index]:.3f} s"

    message = f"{counted(len(outside), 'forged segment')} {_verb(len(outside), 'lies', 'lie')} outside the clip"
    advice = "correct the segments, or fetch the whole files"
    yield finding("error", "outside_clip", message, advice, instances(), count=len(outside))


def _overlapping(columns: Columns) -> Iterator[Finding]:
    for stream in STREAMS:
        order = columns.segments_of(stream)
        owners = columns.owners[order]
        overlap = (owners[1:] == owners[:-1]) & (columns.starts_seconds[order[1:]] < columns.ends_seconds[order[:-1]])
        places = np.flatnonzero(overlap)
        rows, first = np.unique(owners[places], return_index=True)
        if not len(rows):
            continue

        def instances(
            order: NDArray[np.intp] = order, places: NDArray[np.intp] = places[first]
        ) -> Iterator[tuple[str, str]]:
            for place in places.tolist():
                name = columns.videos[columns.owners[order[place]]].video_id
                one, other = _segment(columns, order[place]), _segment(columns, order[place + 1])
                yield name, f"{name}: {one} and {other} overlap"

        message = f"forged {stream_name(stream)} segments overlap in {counted(len(rows), 'video')}"
        advice = "nothing need be done: their union is the truth; check whoever made the list"
        yield finding("warning", "overlapping_segments", message, advice, instances(), count=len(rows))


def _shorter_than_a_frame(columns: Columns) -> Iterator[Finding]:
    lengths = columns.ends_seconds - columns.starts_seconds
    short = np.flatnonzero(lengths < TOLERANCE_SECONDS - 1e-6)
    if not len(short):
        return

    def instances() -> Iterator[tuple[str, str]]:
        for index in short.tolist():
            name = columns.videos[columns.owners[index]].video_id
            yield name, f"{name}: {_segment(columns, index)} lasts {1000 * lengths[index]:.1f} ms"

    be = _verb(len(short), "is", "are")
    message = f"{counted(len(short), 'forged segment')} {be} shorter than a video frame ({TOLERANCE_SECONDS} s)"
    advice = "no cell of a 25 Hz grid need hold them: check that they are meant, and expect to miss them"
    yield finding("warning", "shorter_than_a_frame", message, advice, instances(), count=len(short))


def _unknown(columns: Columns, durations_seconds: NDArray[np.float64]) -> Iterator[Finding]:
    rows = np.flatnonzero(np.isnan(durations_seconds))
    if not len(rows):
        return
    names = ((columns.videos[row].video_id, columns.videos[row].video_id) for row in rows.tolist())
    message = f"how long {counted(len(rows), 'video lasts', 'videos last')} is not stated"
    advice = "check with --probe, which reads the files; segments cannot be held against the clip's end without"
    yield finding("note", "unknown_duration", message, advice, names, count=len(rows))


def _segment(columns: Columns, index: int) -> str:
    return f"[{columns.starts_seconds[index]:.3f}, {columns.ends_seconds[index]:.3f}) s"


def _verb(number: int, one: str, many: str) -> str:
    return one if number == 1 else many
