"""Rows, cells and chunks: numbers to redo by hand, then laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.encoders.alignment import chunks, mirrored, on_grid
from iamsb_core.timeline import TimeGrid


def test_ten_seconds_of_wavlm_rows_fill_500_cells() -> None:
    rows = np.arange(499, dtype=np.float32)[:, None]
    track = on_grid(rows, TimeGrid.covering(10.0, 0.02))
    assert track.values[:3, 0].tolist() == [0.0, 1.0, 2.0]
    assert track.values[-2:, 0].tolist() == [498.0, 498.0]


def test_rows_of_another_clock_are_refused() -> None:
    with pytest.raises(ValueError, match="249 rows cannot fill 500 cells"):
        on_grid(np.zeros((249, 1), dtype=np.float32), TimeGrid(0.02, 500))


def test_seven_rows_in_runs_of_at_most_three_with_one_of_context() -> None:
    found = [(c.keep, c.read, c.inside) for c in chunks(7, max_rows=3, context_rows=1)]
    assert found == [
        (slice(0, 2), slice(0, 3), slice(0, 2)),
        (slice(2, 4), slice(1, 5), slice(1, 3)),
        (slice(4, 7), slice(3, 7), slice(1, 4)),
    ]
    beyond = [c.read for c in chunks(7, max_rows=3, context_rows=1, beyond=True)]
    assert beyond == [slice(-1, 3), slice(1, 5), slice(3, 8)]


@settings(deadline=None, max_examples=60)
@given(num_rows=st.integers(0, 500), max_rows=st.integers(1, 90), context_rows=st.integers(0, 40))
def test_chunks_keep_every_row_once(num_rows: int, max_rows: int, context_rows: int) -> None:
    kept: list[int] = []
    for chunk in chunks(num_rows, max_rows=max_rows, context_rows=context_rows):
        read = list(range(chunk.read.start, chunk.read.stop))
        assert read[chunk.inside] == list(range(chunk.keep.start, chunk.keep.stop))
        assert len(read[chunk.inside]) <= max_rows
        kept += read[chunk.inside]
    assert kept == list(range(num_rows))


def test_a_signal_goes_on_as_its_mirror_image() -> None:
    samples = np.array([1, 2, 3], dtype=np.float32)
    assert mirrored(samples, -4, 8).tolist() == [3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1, 2]
    assert mirrored(samples, 1, 3).tolist() == [2, 3]
    assert mirrored(samples[:0], -2, 2).tolist() == [0, 0, 0, 0]
