"""Where forged segments go: in whole samples for sound, whole frames for the picture, where somebody speaks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Span = tuple[int, int]
"""[start, stop) in samples or frames"""

_GAP_SECONDS = 0.3
_MARGIN_SECONDS = 0.12
_MAX_FORGED_SHARE = 0.6
_NUM_TRIES = 40


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

    voiced: (num_frames,) of the clip. Each span keeps 0.3 s from the others and from `taken` spans, 0.12 s from the
    clip's ends, and together they cover at most 0.6 of the clip. Where several places were tried, the one with the
    largest voiced share is taken. At least one span is always placed; later ones only where there is room.
    """
    rate = units_per_frame * frame_rate_hz
    found: list[Span] = []
    for _ in range(num_spans):
        room = _MAX_FORGED_SHARE * len(voiced) * units_per_frame - sum(stop - start for start, stop in found)
        span = _place_one(
            voiced,
            units_per_frame=units_per_frame,
            rate=rate,
            segment_seconds=segment_seconds,
            taken=(*taken, *found),
            room=room,
            rng=rng,
        )
        if span is None:
            break
        found.append(span)
    return tuple(sorted(found))


def _place_one(
    voiced: NDArray[np.bool_],
    *,
    units_per_frame: int,
    rate: float,
    segment_seconds: tuple[float, float],
    taken: tuple[Span, ...],
    room: float,
    rng: np.random.Generator,
) -> Span | None:
    margin, gap = math.ceil(_MARGIN_SECONDS * rate), math.ceil(_GAP_SECONDS * rate)
    total = len(voiced) * units_per_frame
    shortest = math.ceil(segment_seconds[0] * rate - 1e-6)
    longest = int(min(segment_seconds[1] * rate + 1e-6, room, total - 2 * margin))
    if longest < shortest:
        return None
    length = round(math.exp(rng.uniform(math.log(shortest), math.log(longest))))
    best: Span | None = None
    best_share = -1.0
    for attempt in range(_NUM_TRIES):
        if attempt == _NUM_TRIES // 2 and best is None:
            length = shortest
        start = int(rng.integers(margin, total - margin - length + 1))
        stop = start + length
        if any(start < other_stop + gap and other_start < stop + gap for other_start, other_stop in taken):
            continue
        share = float(voiced[start // units_per_frame : -(-stop // units_per_frame)].mean())
        if share > best_share:
            best, best_share = (start, stop), share
        if share > 0.8:
            break
    return best
