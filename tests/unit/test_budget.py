"""Budgets: exact, even, above their floors, for every weight."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.systems.iamsb.budget import share_evenly, stream_budgets

weights = st.floats(0.0, 1.0)
even = st.integers(2, 200).map(lambda half: 2 * half)


def printed(total: int, weight: float) -> int:
    """The paper's 2 floor(w total / 2 + 1/2)."""
    return 2 * int(weight * total / 2 + 0.5)


def test_by_hand() -> None:
    # 12 steps are 6 pairs: 0.7 of them is 4.2 and 1.8, rounded 4 and 2
    assert share_evenly(12, (0.7, 0.3), (2, 2)) == (8, 4)
    # 0.25 is 1.5 pairs: the printed formula gives 4 + 10 = 14; the larger weight takes the tie
    assert (printed(12, 0.25), printed(12, 0.75)) == (4, 10)
    assert share_evenly(12, (0.25, 0.75), (2, 2)) == (2, 10)
    # below w = 1/12 the printed formula leaves nothing
    assert printed(12, 0.05) == 0
    assert share_evenly(12, (0.05, 0.95), (2, 2)) == (2, 10)


@settings(deadline=None, max_examples=300)
@given(weights, even)
def test_totals_are_exact_even_and_above_the_floor(weight: float, total: int) -> None:
    shares = share_evenly(total, (weight, 1.0 - weight), (2, 2))
    assert sum(shares) == total
    assert all(share % 2 == 0 and share >= 2 for share in shares)


@settings(deadline=None, max_examples=300)
@given(weights, even)
def test_where_the_printed_formula_is_sound_ours_is_the_same(weight: float, total: int) -> None:
    expected = (printed(total, weight), printed(total, 1.0 - weight))
    if sum(expected) == total and min(expected) >= 2:
        assert share_evenly(total, (weight, 1.0 - weight), (2, 2)) == expected


@settings(deadline=None, max_examples=300)
@given(weights.filter(lambda w: abs(w - 0.5) > 1e-6), even)
def test_swapping_the_weights_swaps_the_shares(weight: float, total: int) -> None:
    there = share_evenly(total, (weight, 1.0 - weight), (2, 2))
    assert share_evenly(total, (1.0 - weight, weight), (2, 2)) == there[::-1]


@settings(deadline=None, max_examples=100)
@given(st.lists(weights, min_size=2, max_size=2).map(sorted), even)
def test_a_larger_weight_never_gets_less(pair: list[float], total: int) -> None:
    low, high = (share_evenly(total, (weight, 1.0 - weight), (2, 2))[0] for weight in pair)
    assert low <= high


def test_an_absent_stream_gets_nothing_and_the_other_everything() -> None:
    shares = [(0.6, 0.4), (1.0, 0.0), (0.0, 0.0)]
    present = [(True, True), (True, False), (False, False)]
    assert stream_budgets([12] * 3, shares, present, floor=2) == [(8, 4), (12, 0), (0, 0)]


@pytest.mark.parametrize(
    ("total", "given_weights", "floors"),
    [(11, (0.5, 0.5), (2, 2)), (2, (0.5, 0.5), (2, 2)), (12, (0.5, 0.5), (1, 1)), (12, (0.0, 0.0), (2, 2))],
)
def test_impossible_budgets_are_refused(total: int, given_weights: tuple[float, ...], floors: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"need an even total|weights must be"):
        share_evenly(total, given_weights, floors)
