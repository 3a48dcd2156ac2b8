"""Suppression of overlapping proposals: by hand, by law, and against a slow restatement."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from iamsb_core.localization.nms import hard_nms, hard_nms_clips, soft_nms, soft_nms_clips

_CELLS = st.floats(0.0, 1.0, width=32)


@st.composite
def clip_proposals(draw: st.DrawFn, most: int = 12) -> np.ndarray:
    num = draw(st.integers(0, most))
    raw = draw(arrays(np.float64, (num, 3), elements=_CELLS))
    return np.stack([raw[:, 0] * 10, raw[:, 0] * 10 + 0.1 + raw[:, 1] * 3, raw[:, 2]], axis=1)


def tiou(a: np.ndarray, b: np.ndarray) -> float:
    overlap = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return overlap / (a[1] - a[0] + b[1] - b[0] - overlap)


def slow_soft_nms(proposals: np.ndarray, sigma: float, min_score: float, width: bool) -> list[list[float]]:
    left = [list(row) for row in proposals]
    kept = []
    while left:
        best = max(left, key=lambda row: row[2])
        if best[2] < min_score:
            break
        left.remove(best)
        kept.append(best)
        for row in left:
            overlap = tiou(np.array(best), np.array(row))
            if not width or overlap > 0.1968 + (0.4123 - 0.1968) * (best[1] - best[0]):
                row[2] *= math.exp(-(overlap**2) / sigma)
    return kept


#  0    1    2    3    4    5    6   seconds
#  [=========)                        A  0.9
#       [=========)                   B  0.8   tiou with A: 1 / 3
#                      [=========)    C  0.5   touches nothing
BY_HAND = np.array([[0.0, 2.0, 0.9], [1.0, 3.0, 0.8], [4.0, 6.0, 0.5]])


def test_soft_nms_by_hand():
    kept = soft_nms(BY_HAND, sigma=0.5)
    decayed = 0.8 * math.exp(-((1 / 3) ** 2) / 0.5)  # 0.6406
    np.testing.assert_allclose(kept[:, 2], [0.9, decayed, 0.5], rtol=1e-6)
    np.testing.assert_array_equal(kept[:, 0], [0.0, 1.0, 4.0])


def test_soft_nms_that_decays_below_another_changes_the_order():
    kept = soft_nms(BY_HAND, sigma=0.1)  # B: 0.8 * exp(-1.11) = 0.263, now behind C
    np.testing.assert_array_equal(kept[:, 0], [0.0, 4.0, 1.0])


def test_width_dependent_rule_spares_what_overlaps_less_than_the_pick_is_long():
    # threshold of A, 2 s long: 0.1968 + 0.2155 * 2 = 0.628 > 1 / 3
    np.testing.assert_allclose(soft_nms(BY_HAND, method="width", sigma=0.7234)[:, 2], [0.9, 0.8, 0.5], rtol=1e-6)
    short = BY_HAND * [0.1, 0.1, 1.0]  # threshold of A, 0.2 s long: 0.24 < 1 / 3
    assert soft_nms(short, method="width", sigma=0.7234)[1, 2] < 0.8


def test_hard_nms_by_hand():
    np.testing.assert_array_equal(hard_nms(BY_HAND, tiou=0.3)[:, 0], [0.0, 4.0])
    np.testing.assert_array_equal(hard_nms(BY_HAND, tiou=0.34)[:, 0], [0.0, 1.0, 4.0])


def test_limits():
    assert soft_nms(BY_HAND, max_proposals=1).shape == (1, 3)
    assert len(soft_nms(BY_HAND, min_score=0.6)) == 2
    assert soft_nms(np.empty((0, 3))).shape == (0, 3)
    assert soft_nms_clips([]) == []


def test_hard_nms_with_scores_of_zero_and_total_overlap():
    same = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0]])
    np.testing.assert_array_equal(hard_nms(same, tiou=0.5), same[:1])


def test_bad_input_says_so():
    with pytest.raises(ValueError, match="not finite"):
        soft_nms(np.array([[0.0, 1.0, np.nan]]))
    with pytest.raises(ValueError, match="sigmoid"):
        hard_nms(np.array([[0.0, 1.0, -2.0]]))
    with pytest.raises(ValueError, match="positive sigma"):
        soft_nms(BY_HAND, sigma=0.0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        hard_nms(BY_HAND, tiou=1.5)


@settings(deadline=None, max_examples=60)
@given(clip_proposals(), st.booleans())
def test_soft_nms_equals_the_slow_restatement(proposals, width):
    method = "width" if width else "gaussian"
    kept = soft_nms(proposals, sigma=0.5, min_score=0.01, method=method)
    slow = slow_soft_nms(proposals, 0.5, 0.01, width)
    np.testing.assert_allclose(kept, np.array(slow).reshape(-1, 3), rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(clip_proposals())
def test_laws(proposals):
    soft, hard = soft_nms(proposals, min_score=0.0), hard_nms(proposals, tiou=0.5)
    assert len(soft) == len(proposals)
    assert (np.diff(soft[:, 2]) <= 0).all()
    assert (np.diff(hard[:, 2]) <= 0).all()
    assert soft[:, 2].sum() <= proposals[:, 2].sum() + 1e-5
    assert all(tiou(a, b) <= 0.5 + 1e-6 for i, a in enumerate(hard) for b in hard[:i])
    np.testing.assert_array_equal(hard_nms(hard, tiou=0.5 + 1e-6), hard)


@settings(deadline=None, max_examples=30)
@given(st.lists(clip_proposals(), min_size=1, max_size=4))
def test_a_clip_does_not_depend_on_the_others(clips):
    for together, alone in zip(soft_nms_clips(clips), [soft_nms(c) for c in clips], strict=True):
        np.testing.assert_array_equal(together, alone)
    for together, alone in zip(hard_nms_clips(clips), [hard_nms(c) for c in clips], strict=True):
        np.testing.assert_array_equal(together, alone)
