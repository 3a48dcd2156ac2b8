"""Time: one clock, one rounding rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid, merge_segments

HOPS = st.sampled_from([0.04, 0.02, 0.005, 0.01])


#  cell        0     1     2     3     4
#  edges     0.00  0.04  0.08  0.12  0.16  0.20
#  centres     .02   .06   .10   .14   .18
#  [0.05, 0.15)      [=====|=====|=)          centres .06 .10 .14
def test_a_segment_owns_the_cells_whose_centre_it_contains() -> None:
    assert TimeGrid(0.04, 5).cells(Segment(0.05, 0.15)) == slice(1, 4)


def test_a_centre_on_the_start_belongs_and_on_the_end_does_not() -> None:
    assert TimeGrid(0.04, 5).cells(Segment(0.06, 0.14)) == slice(1, 3)


@pytest.mark.parametrize(("duration", "cells"), [(10.0, 250), (10.019, 250), (10.021, 251), (0.001, 1), (0.06, 2)])
def test_a_grid_covers_a_clip_to_the_nearest_cell(duration: float, cells: int) -> None:
    assert TimeGrid.covering(duration, 0.04).num_cells == cells


@settings(deadline=None)
@given(HOPS, st.lists(st.floats(0.0, 9.9), min_size=3, max_size=3, unique=True))
def test_adjacent_segments_share_no_cell_and_lose_none(hop: float, times: list[float]) -> None:
    start, middle, end = sorted(times)
    grid = TimeGrid.covering(10.0, hop)
    left, right = grid.cells(Segment(start, middle)), grid.cells(Segment(middle, end))
    whole = grid.cells(Segment(start, end))
    assert (whole.start, whole.stop) == (left.start, right.stop)
    assert left.stop == right.start


@given(HOPS, st.integers(0, 240))
def test_a_cell_finds_itself(hop: float, cell: int) -> None:
    grid = TimeGrid(hop, 250)
    assert grid.cells(grid.segment(slice(cell, cell + 1))) == slice(cell, cell + 1)


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (-0.1, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_segment_cannot_be_wrong(start: float, end: float) -> None:
    with pytest.raises(ValueError, match="0 <= start < end"):
        Segment(start, end)


def test_features_must_fit_their_clock() -> None:
    with pytest.raises(ValueError, match="align the encoder's output"):
        FeatureTrack(np.zeros((499, 4)), TimeGrid(0.02, 500))


def test_a_window_starts_at_zero() -> None:
    track = FeatureTrack(np.arange(10.0)[:, None], TimeGrid(0.04, 10))
    window = track.window(Segment(0.08, 0.20))
    assert window.values[:, 0].tolist() == [2.0, 3.0, 4.0]
    assert window.grid.num_cells == 3


#  [0 ------ 1)            [3 -- 4)
#       [0.5 ----- 2)
#  [0 ------------ 2)      [3 -- 4)
def test_the_union_of_segments() -> None:
    merged = merge_segments(np.array([[3.0, 4.0], [0.0, 1.0], [0.5, 2.0]]))
    assert merged.tolist() == [[0.0, 2.0], [3.0, 4.0]]
