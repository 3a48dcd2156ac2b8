"""Forged segments as DDL-AV has them: of each stream at times of its own, in lengths of that stream's histogram.

The shares are those of the benchmark's description (Li et al., DDL challenge at IJCAI 2025, track 2).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from iamsb_core.forgery.placement import Ground, Span, seek_place

Stream = Literal["audio", "visual"]
EDGES_SECONDS = (0.0, 0.5, 1.0, 2.0, math.inf)
LENGTH_SHARES: dict[Stream, tuple[float, ...]] = {
    "audio": (0.57, 0.21, 0.14, 0.08),
    "visual": (0.46, 0.25, 0.18, 0.11),
}
"""of the segments that last up to 0.5 s, 1 s, 2 s, and longer"""


def draw_length(stream: Stream, bounds: Span, *, rate: float, scale: float = 1.0, rng: np.random.Generator) -> int:
    """A length in units from DDL-AV's histogram, log-uniform inside each class.

    bounds: shortest and longest; classes outside them are left out, and the others' shares grow. rate: units in a
    second. scale: times the classes' edges.
    """
    shortest, longest = bounds
    edges = np.clip(np.multiply(EDGES_SECONDS, scale * rate), shortest, longest)
    shares = np.where(edges[1:] > edges[:-1], LENGTH_SHARES[stream], 0.0)
    if not shares.any():
        return shortest
    chosen = int(rng.choice(len(shares), p=shares / shares.sum()))
    return round(math.exp(rng.uniform(math.log(edges[chosen]), math.log(edges[chosen + 1]))))


def place_asynchronous(
    wanted: dict[Stream, int],
    grounds: dict[Stream, Ground],
    *,
    segment_seconds: tuple[float, float],
    length_scale: float,
    joints: tuple[Span, ...],
    rng: np.random.Generator,
) -> dict[Stream, tuple[Span, ...]]:
    """Spans of both streams, each in its own units, all 0.3 s apart in time, also across the streams.

    wanted: how many of each stream, at most. joints: empty spans in frames to keep away from. All lengths are drawn
    first and the longest placed first, so that little room does not make long segments rarer than they should be;
    a stream's segments fill at most 0.6 of the clip.
    """
    lengths: list[tuple[float, Stream, int]] = []
    for stream, number in wanted.items():
        ground = grounds[stream]
        room = ground.most_forged
        for _ in range(number):
            shortest, longest = ground.bounds(segment_seconds, room)
            if longest < shortest:
                break
            length = draw_length(stream, (shortest, longest), rate=ground.rate, scale=length_scale, rng=rng)
            room -= length
            lengths.append((length / ground.rate, stream, length))
    found: dict[Stream, list[Span]] = {"audio": [], "visual": []}
    for _, stream, length in sorted(lengths, key=lambda each: each[0], reverse=True):
        ground = grounds[stream]
        taken = ground.in_units(joints) + tuple(
            span for other, spans in found.items() for span in _converted(spans, grounds[other], ground)
        )
        shortest, _ = ground.bounds(segment_seconds, length)
        place = seek_place(ground, length, taken, rng, shortest=shortest)
        if place is not None:
            found[stream].append(place)
    return {stream: tuple(sorted(spans)) for stream, spans in found.items()}


def _converted(spans: list[Span], own: Ground, other: Ground) -> tuple[Span, ...]:
    """Spans of one stream's units in another's, rounded outwards."""
    ratio = other.rate / own.rate
    return tuple((math.floor(start * ratio), math.ceil(stop * ratio)) for start, stop in spans)
