"""What a dataset is like: histograms of its forged segments and its clips, as counts that anybody can draw."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.datasets.checks.columns import Columns
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.media.clip import MediaProbe

_LENGTH_EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, np.inf)
_DURATION_EDGES = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, np.inf)
_MOST_SEGMENTS = 6
_NUM_POSITIONS = 10
_MOST_NAMES = 20


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts in bins, one row of counts for each series."""

    title: str
    unit: str
    """of the bins"""
    counted: str
    """what the counts count"""
    bins: tuple[str, ...]
    series: dict[str, tuple[int, ...]]
    """counts by bin; `audio`, `visual`, or `all`"""
    named: bool = False
    """whether the bins are names, the most frequent first, and not ranges of a number"""

    @property
    def total(self) -> int:
        return sum(map(sum, self.series.values()))


def histograms(columns: Columns, durations_seconds: NDArray[np.float64]) -> tuple[Histogram, ...]:
    """Every histogram of the report; durations_seconds: (N,) the best known, NaN where nothing is."""
    return (
        _lengths(columns),
        _segments_per_clip(columns),
        _positions(columns, durations_seconds),
        _durations(durations_seconds),
        _generators(columns),
    )


def _lengths(columns: Columns) -> Histogram:
    """Of each stream's segments, overlapping ones joined."""
    series = {}
    for stream in STREAMS:
        merged = columns.merged(stream)
        series[stream_name(stream)] = _binned(merged.ends_seconds - merged.starts_seconds, _LENGTH_EDGES)
    return Histogram("Length of forged segments", "seconds", "segments", _names(_LENGTH_EDGES), series)


def _segments_per_clip(columns: Columns) -> Histogram:
    edges = (*range(1, _MOST_SEGMENTS + 1), np.inf)
    series = {}
    for stream in STREAMS:
        numbers = np.unique(columns.merged(stream).owners, return_counts=True)[1]
        series[stream_name(stream)] = _binned(numbers, edges)
    bins = (*(str(number) for number in range(1, _MOST_SEGMENTS)), f"{_MOST_SEGMENTS} or more")
    return Histogram("Segments in a clip that has any", "segments in the clip", "clips", bins, series)


def _positions(columns: Columns, durations_seconds: NDArray[np.float64]) -> Histogram:
    """Where in its clip a segment's middle lies, for clips whose duration is known."""
    edges = [i / _NUM_POSITIONS for i in range(_NUM_POSITIONS + 1)]
    series = {}
    for stream in STREAMS:
        merged = columns.merged(stream)
        middles = (merged.starts_seconds + merged.ends_seconds) / 2 / durations_seconds[merged.owners]
        series[stream_name(stream)] = _binned(np.clip(middles[~np.isnan(middles)], 0, 1 - 1e-9), edges)
    bins = tuple(f"{100 * low:.0f} to {100 * high:.0f} %" for low, high in itertools.pairwise(edges))
    return Histogram("Where in the clip a segment's middle lies", "share of the clip", "segments", bins, series)


def _durations(durations_seconds: NDArray[np.float64]) -> Histogram:
    known = durations_seconds[~np.isnan(durations_seconds)]
    series = {"all": _binned(known, _DURATION_EDGES)}
    return Histogram("Duration of clips", "seconds", "clips", _names(_DURATION_EDGES), series)


def _generators(columns: Columns) -> Histogram:
    """Forged clips by how they were forged."""
    codes = columns.generators.codes[columns.forged]
    numbers = np.bincount(codes[codes >= 0], minlength=len(columns.generators.names))
    counts = Counter(dict(zip(columns.generators.names, numbers.tolist(), strict=True)))
    return _named("How forged clips were made", "generator", "clips", counts, int((codes < 0).sum()))


def media_histograms(probes: Iterable[MediaProbe]) -> tuple[Histogram, ...]:
    """Files by picture, frame rate and sound, as they were probed."""
    pictures: Counter[str] = Counter()
    rates: Counter[str] = Counter()
    sounds: Counter[str] = Counter()
    for probe in probes:
        if probe.num_video_streams:
            pictures[f"{probe.video_codec}, {probe.width} x {probe.height}"] += 1
            rates["varying" if probe.variable_frame_rate else f"{probe.average_fps:.5g}"] += 1
        if probe.num_audio_streams:
            channels = f"{probe.num_channels} channel{'' if probe.num_channels == 1 else 's'}"
            sounds[f"{probe.audio_codec}, {probe.sample_rate_hz:,} Hz, {channels}"] += 1
    return (
        _named("Pictures", "coding and size", "files", pictures),
        _named("Frame rates", "frames a second", "files", rates),
        _named("Sound", "coding", "files", sounds),
    )


def _named(title: str, unit: str, counted: str, counts: Counter[str], num_not_stated: int = 0) -> Histogram:
    """Counts by name; names beyond the twentieth are counted together."""
    order = [(name, number) for name, number in counts.most_common() if number]
    shown = dict(order[:_MOST_NAMES])
    if len(order) > _MOST_NAMES:
        shown[f"{len(order) - _MOST_NAMES:,} others"] = sum(number for _, number in order[_MOST_NAMES:])
    if num_not_stated and shown:
        shown["not stated"] = num_not_stated
    return Histogram(title, unit, counted, tuple(shown), {"all": tuple(shown.values())}, named=True)


def _binned(values: NDArray[Any], edges: Sequence[float]) -> tuple[int, ...]:
    """Counts of values in [edge, next edge); a value within a nanosecond below an edge belongs above it."""
    places = np.searchsorted(np.asarray(edges), np.asarray(values, dtype=np.float64) + 1e-9, side="right") - 1
    return tuple(np.bincount(np.clip(places, 0, len(edges) - 2), minlength=len(edges) - 1).tolist())


def _names(edges: Sequence[float]) -> tuple[str, ...]:
    bounded = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges[:-1])]
    return (*bounded, f"{edges[-2]:g} or more")
