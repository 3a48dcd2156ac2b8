"""A manifest as NumPy columns, made in one pass, so that each check is a few operations on arrays.

N videos, S forged segments (each with the stream or streams it holds for).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from iamsb_core.manifest import SPLITS, Label, Manifest, Modality, Split, VideoRecord

LABELS: tuple[Label, ...] = ("segments", "clip", "none")
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Codes:
    """A column of names as numbers: `names[codes[i]]`, -1 where there is none."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """The columns; `rows` and `owners` are indices into `videos`."""

    videos: Sequence[VideoRecord]
    splits: NDArray[np.int8]
    """(N,) index into SPLITS"""
    durations_seconds: NDArray[np.float64]
    """(N,) as stated, NaN where nothing is"""
    labels: NDArray[np.int8]
    """(N,) index into LABELS"""
    streams: NDArray[np.uint8]
    """(N,) bits of Modality: the forged streams"""
    told_apart: NDArray[np.bool_]
    """(N,) False where it is not known which of the streams was forged"""
    people: Codes
    generators: Codes
    owners: NDArray[np.int32]
    """(S,) the video that a segment is of"""
    starts_seconds: NDArray[np.float64]
    ends_seconds: NDArray[np.float64]
    segment_streams: NDArray[np.uint8]
    """(S,) bits of Modality"""

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def forged(self) -> NDArray[np.bool_]:
        """(N,)"""
        return np.asarray(self.streams != 0)

    def in_split(self, split: Split) -> NDArray[np.bool_]:
        """(N,)"""
        return np.asarray(self.splits == SPLITS.index(split))

    def segments_of(self, stream: Modality | None) -> NDArray[np.intp]:
        """Indices of the segments of a stream (None: of any), ordered by video and start."""
        chosen = self._order if stream is None else self._order[(self.segment_streams[self._order] & stream.value) > 0]
        return np.asarray(chosen)

    def merged(self, stream: Modality | None = None) -> MergedSegments:
        """The union of each video's segments of a stream, as `VideoRecord.truth` gives it (to a microsecond)."""
        order = self.segments_of(stream)
        owners = self.owners[order].astype(np.int64)
        starts, ends = (
            np.round(times[order] * _MICROSECONDS).astype(np.int64)
            for times in (self.starts_seconds, self.ends_seconds)
        )
        room = int(ends.max(initial=0)) + 2  # so that no video's segments reach the next one's
        reach = np.maximum.accumulate(ends + owners * room)
        first = np.ones(len(order), dtype=bool)
        first[1:] = starts[1:] + owners[1:] * room > reach[:-1]
        begins = np.flatnonzero(first)
        lasts = np.append(begins[1:], len(order))[: len(begins)] - 1
        merged_ends = reach[lasts] - owners[lasts] * room
        return MergedSegments(owners[begins], starts[begins] / _MICROSECONDS, merged_ends / _MICROSECONDS)

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.lexsort((self.starts_seconds, self.owners))


@dataclass(frozen=True, slots=True)
class MergedSegments:
    """Disjoint segments, ordered by video and start."""

    owners: NDArray[np.int64]
    starts_seconds: NDArray[np.float64]
    ends_seconds: NDArray[np.float64]


def columns(manifest: Manifest) -> Columns:
    """The columns of a manifest: 2 s for a million videos."""
    splits, labels, streams, told = array("b"), array("b"), array("B"), array("b")
    durations, people, generators = array("d"), _Coder(), _Coder()
    owners, starts, ends, segment_streams = array("i"), array("d"), array("d"), array("B")
    split_codes: dict[str, int] = {split: number for number, split in enumerate(SPLITS)}
    label_codes: dict[str, int] = {label: number for number, label in enumerate(LABELS)}
    for row, video in enumerate(manifest.videos):
        splits.append(split_codes[video.split])
        labels.append(label_codes[video.label])
        told.append(video.streams_told_apart)
        durations.append(np.nan if video.duration_seconds is None else video.duration_seconds)
        people.add(video.identity)
        generators.add(video.generator)
        forged = video.forged_streams.value
        for forgery in video.forgeries:
            bits = forgery.modality.value
            forged |= bits
            owners.append(row)
            starts.append(forgery.segment.start)
            ends.append(forgery.segment.end)
            segment_streams.append(bits)
        streams.append(forged)
    return Columns(
        videos=manifest.videos,
        splits=np.asarray(splits),
        durations_seconds=np.asarray(durations),
        labels=np.asarray(labels),
        streams=np.asarray(streams),
        told_apart=np.asarray(told, dtype=bool),
        people=people.done(),
        generators=generators.done(),
        owners=np.asarray(owners),
        starts_seconds=np.asarray(starts),
        ends_seconds=np.asarray(ends),
        segment_streams=np.asarray(segment_streams),
    )


class _Coder:
    """Gives each name the next number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._codes = array("i")

    def add(self, name: str | None) -> None:
        self._codes.append(-1 if name is None else self._numbers.setdefault(name, len(self._numbers)))

    def done(self) -> Codes:
        return Codes(np.asarray(self._codes), tuple(self._numbers))
