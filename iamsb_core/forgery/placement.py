"""Where forged segments go: in whole samples for sound, whole frames for the picture, where somebody speaks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""[start, stop) in samples or frames"""

_GAP_SECONDS = 0.3
_MARGIN_SECONDS = 0.12
_MAX_FORGED_SHARE = 0.6
_NUM_TRIES = 40


@dataclass(frozen=True, slots=True)
class Ground:
    """What one stream of a clip offers to put segments on, in that stream's units."""

    voiced: NDArray[np.bool_]
    """(num_frames,)"""
    units_per_frame: int
    """640: samples, 1: frames"""
    rate: float
    """units in a second"""

    @property
    def num_units(self) -> int:
        return len(self.voiced) * self.units_per_frame

    @property
    def margin(self) -> int:
        return math.ceil(_MARGIN_SECONDS * self.rate)

    @property
    def most_forged(self) -> float:
        """Units of the clip that may be forged in all."""
        return _MAX_FORGED_SHARE * len(self.voiced) * self.units_per_frame

    def bounds(self, segment_seconds: tuple[float, float], room: float) -> Span:
        """Shortest and longest length in units; the longest is less than the shortest where there is no room."""
        shortest = math.ceil(segment_seconds[0] * self.rate - 1e-6)
        return shortest, int(min(segment_seconds[1] * self.rate + 1e-6, room, self.num_units - 2 * self.margin))

    def in_units(self, frames: tuple[Span, ...]) -> tuple[Span, ...]:
        """Spans of frames as spans of units."""
        return tuple((start * self.units_per_frame, stop * self.units_per_frame) for start, stop in frames)


def place_spans(
    num_spans: int,
    voiced: NDArray[np.bool_],
    *,
    units_per_frame: int,
    frame_rate_hz: float,
    segment_seconds: tuple[float, float],
    taken: tuple[Span, ...] = (),
    rng: np.random.Generator,
) -> tuple[Span, ...]:
    """Up to num_spans disjoint spans in order, in units (units_per_frame = 640 gives samples, 1 gives frames).

    voiced: (num_frames,) of the clip. Each span keeps 0.3 s from the others and from `taken` spans (an empty one is a
    moment to keep away from), 0.12 s from the clip's ends, and together they cover at most 0.6 of the clip. Lengths
    are log-uniform. Where several places were tried, the one with the largest voiced share is taken. At least one
    span is always placed where nothing is taken; later ones only where there is room.
    """
    ground = Ground(voiced, units_per_frame, units_per_frame * frame_rate_hz)
    found: list[Span] = []
    for _ in range(num_spans):
        room = ground.most_forged - sum(stop - start for start, stop in found)
        shortest, longest = ground.bounds(segment_seconds, room)
        if longest < shortest:
            break
        length = round(math.exp(rng.uniform(math.log(shortest), math.log(longest))))
        span = seek_place(ground, length, (*taken, *found), rng, shortest=shortest)
        if span is None:
            break
        found.append(span)
    return tuple(sorted(found))


def seek_place(
    ground: Ground, length: int, taken: tuple[Span, ...], rng: np.random.Generator, *, shortest: int
) -> Span | None:
    """The most voiced of the places tried for a span of this length, or (where none was free) of the shortest one."""
    gap = math.ceil(_GAP_SECONDS * ground.rate)
    units_per_frame = ground.units_per_frame
    best: Span | None = None
    best_share = -1.0
    for attempt in range(_NUM_TRIES):
        if attempt == _NUM_TRIES // 2 and best is None:
            length = shortest
        start = int(rng.integers(ground.margin, ground.num_units - ground.margin - length + 1))
        stop = start + length
        if any(start < other_stop + gap and other_start < stop + gap for other_start, other_stop in taken):
            continue
        share = float(ground.voiced[start // units_per_frame : -(-stop // units_per_frame)].mean())
        if share > best_share:
            best, best_share = (start, stop), share
        if share > 0.8:
            break
    return best
