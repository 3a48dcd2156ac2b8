"""Runs of frame scores as segments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.frame_segments import frame_segments


def test_one_run_by_hand() -> None:
    """Cells of .1 s, level .5: the line from the centre at .15 s (0) to that at .25 s (1) crosses at .2 s, and the one
    down again at .4 s. Mean inside 1, beside it 0.
    """
    found = frame_segments(np.array([0, 0, 1, 1, 0, 0]), 0.1, 0.6, levels=[0.5])
    assert found.tolist() == [pytest.approx([0.2, 0.4, 1.0])]


def test_a_higher_level_moves_the_boundaries_inwards() -> None:
    found = frame_segments(np.array([0, 0, 1, 1, 0, 0]), 0.1, 0.6, levels=[0.75])
    assert found[0].tolist() == pytest.approx([0.225, 0.375, 1.0])


def test_a_run_that_ends_in_a_slope_scores_less() -> None:
    """Two cells of 1 with .5 on one side and 0 on the other: 1 x (1 - .25)."""
    found = frame_segments(np.array([0, 0, 0.5, 1, 1, 0, 0]), 0.1, 0.7, levels=[0.6])
    assert found[0, 2] == pytest.approx(0.75)


def test_a_run_at_the_clips_end_ends_there() -> None:
    found = frame_segments(np.array([1.0, 1.0]), 0.1, 0.17, levels=[0.5])
    assert found[0].tolist() == pytest.approx([0.0, 0.17, 1.0])


def test_nothing_above_any_level_gives_nothing() -> None:
    assert frame_segments(np.zeros(5), 0.1, 0.5).shape == (0, 3)
    assert frame_segments(np.zeros(0), 0.1, 0.5).shape == (0, 3)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_candidates_lie_in_the_clip_with_scores_in_order(scores: list[float]) -> None:
    found = frame_segments(np.array(scores), 0.04, len(scores) * 0.04)
    assert (found[:, 0] < found[:, 1]).all()
    assert (found[:, 0] >= 0).all()
    assert (found[:, 1] <= np.float32(len(scores) * 0.04)).all()
    assert ((found[:, 2] >= 0) & (found[:, 2] <= 1)).all()
    assert (np.diff(found[:, 2]) <= 0).all()
