"""Features against their surroundings: against a loop that does the same slowly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.encoders.normalisation import centred, local_mean, standardised


def test_mean_of_three_neighbours() -> None:
    values = np.array([[0.0], [3.0], [6.0], [0.0]], dtype=np.float32)
    assert local_mean(values, 1)[:, 0].tolist() == [1.5, 3.0, 3.0, 3.0]
    assert centred(values, 1)[:, 0].tolist() == [-1.5, 0.0, 3.0, -3.0]


@settings(deadline=None, max_examples=40)
@given(num_rows=st.integers(1, 40), half_width=st.integers(0, 50), seed=st.integers(0, 99))
def test_local_mean_is_the_mean_of_what_is_there(num_rows: int, half_width: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(50.0, 1.0, (num_rows, 2)).astype(np.float32)
    slow = [values[max(0, i - half_width) : i + half_width + 1].mean(axis=0) for i in range(num_rows)]
    np.testing.assert_allclose(local_mean(values, half_width), slow, rtol=1e-5)


@settings(deadline=None, max_examples=30)
@given(offset=st.floats(-20, 20), gain=st.floats(0.5, 20))
def test_a_persons_offset_and_scale_vanish(offset: float, gain: float) -> None:
    values = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    plain, moved = (standardised(v.astype(np.float32), 50, 1e-3) for v in (values, values * gain + offset))
    np.testing.assert_allclose(plain, moved, atol=1e-3)


def test_nothing_stays_nothing() -> None:
    assert not standardised(np.full((30, 2), 7.0, dtype=np.float32), 5, 0.03).any()
