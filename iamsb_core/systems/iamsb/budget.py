"""Budgets: S_r^m = 2 floor(w_m S_tgt / 2 + 1/2) and N^m likewise, with totals made exact.

The printed rounding overshoots by 2 at exact ties and can leave a stream nothing. So shares are rounded by largest
remainder in pairs, and a present stream never falls below its floor. Totals are spent exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

_TIE = 1e-9


def share_evenly(total: int, weights: Sequence[float], floors: Sequence[int]) -> tuple[int, ...]:
    """Even whole numbers that sum to `total`, proportional to the weights, none below its floor.

    Largest remainder on pairs; equal remainders favour the larger weight, then the earlier place, so that swapping
    unequal weights swaps the result. Raises ValueError for odd numbers, for floors that exceed the total, and for
    weights that are negative or all zero.
    """
    if total % 2 or any(floor % 2 or floor < 0 for floor in floors) or sum(floors) > total:
        raise ValueError(f"need an even total that covers even floors, got {total} and {tuple(floors)}")
    mass = sum(weights)
    if min(weights) < 0.0 or not mass > 0.0:
        raise ValueError(f"weights must be non-negative and not all zero, got {tuple(weights)}")
    exact = [weight / mass * total / 2 for weight in weights]
    pairs = [int(value + _TIE) for value in exact]
    order = sorted(range(len(weights)), key=lambda place: (-round(exact[place] - pairs[place], 9), -weights[place]))
    for place in order[: total // 2 - sum(pairs)]:
        pairs[place] += 1
    return tuple(2 * pair for pair in _raised(pairs, [floor // 2 for floor in floors]))


def _raised(pairs: list[int], floors: Sequence[int]) -> list[int]:
    """Lift what is below its floor, at the cost of whoever is furthest above theirs."""
    places = range(len(pairs))
    while any(pairs[place] < floors[place] for place in places):
        poor = next(place for place in places if pairs[place] < floors[place])
        rich = max(places, key=lambda place: pairs[place] - floors[place])
        pairs[poor] += 1
        pairs[rich] -= 1
    return pairs


def stream_budgets(
    totals: Sequence[int], weights: Sequence[Sequence[float]], present: Sequence[Sequence[bool]], floor: int
) -> list[tuple[int, ...]]:
    """The budgets of every clip; an absent stream gets nothing, a clip without any stream spends nothing."""
    budgets = []
    for total, clip_weights, clip_present in zip(totals, weights, present, strict=True):
        if not any(clip_present):
            budgets.append(tuple(0 for _ in clip_present))
            continue
        kept = [weight if here else 0.0 for weight, here in zip(clip_weights, clip_present, strict=True)]
        floors = [floor if here else 0 for here in clip_present]
        budgets.append(share_evenly(total, kept, floors))
    return budgets
