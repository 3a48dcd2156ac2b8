"""Clip and cell detection, and the challenges' scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from iamsb_core.metrics.cells import cell_auc, cell_scores, cell_truth
from iamsb_core.metrics.detection import accuracy, best_threshold, decide, equal_error_rate, roc_auc
from iamsb_core.metrics.scores import ddl_final, ddl_score, deepfakes_1m_score
from iamsb_core.timeline import TimeGrid

FORGED = np.array([True, True, True, False, False])
SCORES = np.array([0.9, 0.6, 0.3, 0.4, 0.3])


def test_auc_by_hand():
    # pairs (forged, genuine): 0.9 beats both, 0.6 beats both, 0.3 loses one and ties one: (2 + 2 + 0.5) / 6
    assert roc_auc(FORGED, SCORES) == pytest.approx(0.75)


def test_eer_by_hand():
    # points (alarms, misses): (0, 1/3) at 0.6, (1/2, 1/3) at 0.4; on the line between them both are 1/3
    assert equal_error_rate(FORGED, SCORES) == pytest.approx(1 / 3)
    assert equal_error_rate(FORGED, FORGED.astype(float)) == 0.0
    assert equal_error_rate(FORGED, -FORGED.astype(float)) == 1.0
    assert equal_error_rate(FORGED, np.zeros(5)) == pytest.approx(0.5)


def test_accuracy_and_the_best_threshold():
    assert accuracy(FORGED, SCORES, 0.5) == pytest.approx(4 / 5)
    assert best_threshold(FORGED, SCORES) == pytest.approx(0.5)
    assert accuracy(FORGED, SCORES, 0.0) == pytest.approx(3 / 5)
    assert accuracy(np.empty(0, dtype=bool), np.empty(0), 0.5) is None
    with pytest.raises(ValueError, match="at least one clip"):
        best_threshold(np.empty(0, dtype=bool), np.empty(0))


#  score    0.9     0.6     0.4       0.3     0.3
#  is       forged  forged  genuine   forged  genuine      called forged from 0.4 on: the first three
def test_a_decision_by_hand():
    found = decide(FORGED, SCORES, 0.4)
    assert (found.threshold, found.chosen_on) == (0.4, "given")
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.hit_rate == pytest.approx(2 / 3)
    assert found.false_alarm_rate == pytest.approx(1 / 2)
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    genuine = decide(np.zeros(2, dtype=bool), np.array([0.1, 0.9]), 0.5, "dev")
    assert (genuine.accuracy, genuine.hit_rate, genuine.false_alarm_rate) == (0.5, None, 0.5)
    assert (genuine.balanced_accuracy, genuine.chosen_on) == (None, "dev")


def test_one_kind_only_has_no_auc():
    assert roc_auc(np.ones(3, dtype=bool), np.ones(3)) is None
    assert equal_error_rate(np.zeros(3, dtype=bool), np.ones(3)) is None


LABELLED = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=30).filter(
    lambda rows: 0 < sum(forged for forged, _ in rows) < len(rows)
)


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_auc_and_eer_agree_with_scikit_learn(rows):
    forged, scores = np.array([r[0] for r in rows]), np.array([r[1] / 6 for r in rows])
    assert roc_auc(forged, scores) == pytest.approx(roc_auc_score(forged, scores), abs=1e-12)
    alarms, hits, _ = roc_curve(forged, scores, drop_intermediate=False)
    # where two points of the curve share their alarm rate, the line between them is upright: go along the curve
    along = np.linspace(0, len(alarms) - 1, 4001)
    gap = np.abs(np.interp(along, np.arange(len(alarms)), alarms) - (1 - np.interp(along, np.arange(len(hits)), hits)))
    expected = np.interp(along[gap.argmin()], np.arange(len(alarms)), alarms)
    assert equal_error_rate(forged, scores) == pytest.approx(expected, abs=1e-2)


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_best_threshold_is_not_beaten_by_any_other(rows):
    forged, scores = np.array([r[0] for r in rows]), np.array([r[1] / 6 for r in rows])
    best = accuracy(forged, scores, best_threshold(forged, scores))
    assert all(best >= accuracy(forged, scores, t) - 1e-12 for t in np.linspace(-0.1, 1.1, 50))


#  cell        0    1    2    3       of 1 s
#  truth            [=========)       [1, 3)
#  proposals   [=========)            0.4, [0, 2)
#                   [====)            0.9, [1, 2)
def test_cells_by_hand():
    grid = TimeGrid(1.0, 4)
    truth = np.array([[1.0, 3.0]])
    proposals = np.array([[1.0, 2.0, 0.9], [0.0, 2.0, 0.4]])
    np.testing.assert_array_equal(cell_truth(truth, grid), [False, True, True, False])
    np.testing.assert_array_equal(cell_scores(proposals, grid), np.float32([0.4, 0.9, 0.0, 0.0]))
    # forged cells 0.9, 0; genuine 0.4, 0: pairs 1 + 1 + 0 + 0.5 of 4
    assert cell_auc([(4.0, truth, proposals)], hop_seconds=1.0) == pytest.approx(2.5 / 4)
    assert cell_auc([]) is None


@st.composite
def clips_with_cells(draw: st.DrawFn) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Clips of up to 3 s with proposals on a grid of 0.05 s, some inverted, empty or past the end."""
    clips = []
    for _ in range(draw(st.integers(1, 3))):
        times = st.integers(0, 70).map(lambda n: n / 20)
        rows = draw(st.lists(st.tuples(times, times, st.integers(0, 9).map(lambda n: n / 9)), max_size=6))
        truth = draw(st.lists(st.tuples(times, times), max_size=2))
        clips.append((draw(st.integers(1, 60)) / 20, np.reshape(truth, (-1, 2)), np.reshape(rows, (-1, 3))))
    return clips


@settings(deadline=None, max_examples=60)
@given(clips_with_cells())
def test_cells_painted_by_halves_equal_cells_painted_one_by_one(clips):
    truths, scores = [], []
    for duration, truth, proposals in clips:
        grid = TimeGrid.covering(duration, 0.04)
        centres = (np.arange(grid.num_cells) + 0.5) * 0.04
        inside = (proposals[:, :1] - 1e-9 <= centres) & (centres < proposals[:, 1:2] - 1e-9)
        best = np.max(np.where(inside, proposals[:, 2:], 0), axis=0, initial=0)
        np.testing.assert_array_equal(cell_scores(proposals, grid), np.float32(best))
        scores.append(best)
        truths.append(((truth[:, :1] - 1e-9 <= centres) & (centres < truth[:, 1:] - 1e-9)).any(axis=0))
        np.testing.assert_array_equal(cell_truth(truth, grid), truths[-1])
    assert cell_auc(clips) == roc_auc(np.concatenate(truths), np.concatenate(scores))


def test_challenge_scores_by_hand():
    ap = {"0.5": 0.8, "0.75": 0.4, "0.9": 0.2, "0.95": 0.0}
    ar = {"100": 1.0, "50": 0.9, "30": 0.8, "20": 0.7, "10": 0.6, "5": 0.5}
    # (0.8 + 0.4 + 0.2 + 0) / 8 + (0.9 + 0.8 + 0.7 + 0.6 + 0.5) / 10
    assert deepfakes_1m_score(ap, ar) == pytest.approx(0.175 + 0.35)
    # (0.8 + 0.8 + 0.4 + 0 + 0.8 + 1.4 + 1.2 + 1.5) / 16
    assert ddl_score(ap, ar) == pytest.approx(6.9 / 16)
    assert ddl_final(0.9, 0.5) == pytest.approx(0.7)
    assert ddl_final(None, 0.5) is None
    assert deepfakes_1m_score(ap, {"50": 0.9}) is None
    assert ddl_score(dict.fromkeys(ap), ar) is None
