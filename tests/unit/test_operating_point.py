"""Thresholds that a report is made with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamsb_core.metrics.operating_point import clip_threshold, segment_threshold


#  truth       [1 === 2)              [5 === 6)
#  proposals   [1 === 2) .9                         hit
#              [1 == 1.9) .8                        covered by the better one: not shown, not counted
#                        [3 = 4) .7                 false alarm
#                                     [5 === 6) .6  hit
#                                        [8 9) .5   false alarm
#  shown >=   .9: F1 2*1/(2+1) = .67    .7: 2*1/(2+2) = .5    .6: 2*2/(2+3) = .8    .5: 2*2/(2+4) = .67
def test_the_segment_threshold_by_hand() -> None:
    truth = np.array([[1.0, 2.0], [5.0, 6.0]])
    found = [[1, 2, 0.9], [1, 1.9, 0.8], [3, 4, 0.7], [5, 6, 0.6], [8, 9, 0.5]]
    assert segment_threshold([truth], [np.array(found, dtype=np.float32)]) == pytest.approx(0.6)


#  score     .1   .3   .4   .6   .8
#  forged    no   no   yes  no   yes      at .35: caught 2/2, cleared 2/3; at .7: 1/2, 3/3: .83 beats .75
def test_the_clip_threshold_by_hand() -> None:
    forged = np.array([False, False, True, False, True])
    assert clip_threshold(forged, np.array([0.1, 0.3, 0.4, 0.6, 0.8])) == pytest.approx(0.35)


def test_without_anything_to_choose_by_the_threshold_is_a_half() -> None:
    assert segment_threshold([np.zeros((0, 2))], [np.array([[0, 1, 0.9]], dtype=np.float32)]) == 0.5
    assert clip_threshold(np.array([True, True]), np.array([0.2, 0.9])) == 0.5


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0)), min_size=2, max_size=30))
def test_no_other_score_separates_clips_better(clips: list[tuple[bool, float]]) -> None:
    forged, scores = np.array([c[0] for c in clips]), np.array([c[1] for c in clips])

    def balanced(threshold: float) -> float:
        return (scores[forged] >= threshold).mean() + (scores[~forged] < threshold).mean()

    if forged.any() and not forged.all():
        best = max(balanced(float(score)) for score in scores)
        assert balanced(clip_threshold(forged, scores)) >= best - 1e-9
