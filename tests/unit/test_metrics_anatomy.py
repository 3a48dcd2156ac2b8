"""What is wrong with shown segments, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.metrics.anatomy import anatomy
from iamsb_core.metrics.labels import ClipTruth

NONE = np.empty((0, 3), dtype=np.float32)


def clip(video_id: str, *segments: tuple[float, float], seconds: float = 10.0) -> ClipTruth:
    truth = np.array(segments, dtype=np.float64).reshape(-1, 2)
    return ClipTruth(video_id, truth, truth, truth[:0], duration_seconds=seconds)


def found(video_id: str, *proposals: tuple[float, float, float]) -> ClipProposals:
    table = np.array(proposals, dtype=np.float32).reshape(-1, 3)
    return ClipProposals(video_id, 10.0, table, NONE, table, 0.5)


def test_every_kind_of_error_by_hand() -> None:
    """Truth 2-4 and 6-8. Shown: 2.1-4.2 (found: .1 late, .2 too long), 2-2.9 meets nothing at .5, 6-7.5 of score .1 is
    below the threshold: 6-8 is missed. The genuine clip of 10 s shows one segment: 360 an hour.
    """
    clips = [clip("a", (2, 4), (6, 8)), clip("b")]
    predictions = {
        "a": found("a", (2.1, 4.2, 0.9), (2, 2.9, 0.6), (6, 7.5, 0.1)),
        "b": found("b", (1, 2, 0.7)),
    }
    result = anatomy(clips, predictions, 0.5)
    assert (result.num_truths, result.num_found, result.num_missed) == (2, 1, 1)
    assert (result.num_duplicates, result.num_false) == (0, 2)
    assert result.false_alarms_per_hour == pytest.approx(360.0)
    assert result.boundaries is not None
    assert result.boundaries.num_boundaries == 2
    assert result.boundaries.median_seconds == pytest.approx(0.15, abs=1e-6)
    assert result.boundaries.signed_mean_seconds == pytest.approx(0.05, abs=1e-6)


def test_a_second_segment_for_one_truth_is_a_duplicate() -> None:
    """1-2.05 and 1.95-3 overlap too little to suppress one another, and both meet 1-3 at a tiou of .525."""
    result = anatomy([clip("a", (1, 3))], {"a": found("a", (1, 2.05, 0.9), (1.95, 3, 0.8))}, 0.5)
    assert (result.num_found, result.num_duplicates, result.num_false) == (1, 1, 0)


def test_streams_are_counted_on_their_own() -> None:
    result = anatomy([clip("a", (1, 3))], {"a": found("a", (1, 3, 0.9))}, 0.5, Modality.VISUAL)
    assert (result.num_truths, result.num_found, result.boundaries) == (0, 0, None)


def test_a_clip_without_a_prediction_is_missed() -> None:
    result = anatomy([clip("a", (1, 3))], {}, 0.5)
    assert (result.num_missed, result.false_alarms_per_hour) == (1, None)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 3), st.floats(0, 1)), max_size=8), st.floats(0, 1))
def test_every_shown_segment_is_exactly_one_thing(drawn: list[tuple[float, float, float]], threshold: float) -> None:
    proposals = sorted(((s, s + length, score) for s, length, score in drawn), key=lambda one: -one[2])
    clips = [clip("a", (1, 2), (4, 7))]
    low, high = (anatomy(clips, {"a": found("a", *proposals)}, t) for t in (threshold / 2, threshold))
    for one in (low, high):
        assert one.num_found + one.num_missed == 2
        assert min(one.num_found, one.num_missed, one.num_duplicates, one.num_false) >= 0
    shown = [one.num_found + one.num_duplicates + one.num_false for one in (low, high)]
    assert shown[0] >= shown[1]
