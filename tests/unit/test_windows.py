"""Windows of long videos and the merging of their results."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.localization.windows import merge_windows, plan_windows
from iamsb_core.timeline import Segment


def result(rows: list[list[float]], score: float = 0.5, **evidence: object) -> ClipProposals:
    proposals = np.asarray(rows, dtype=np.float32).reshape(-1, 3)
    none = np.empty((0, 3), dtype=np.float32)
    return ClipProposals("a.mp4", 10.0, proposals, none, proposals, score, evidence)


def merged(windows: list[Segment], *rows: list[list[float]], **options: object) -> np.ndarray:
    end = max(window.end for window in windows)
    return merge_windows("a.mp4", end, windows, [result(r) for r in rows], **options).audio


#  0    4    8    12   16   20   seconds, windows of 10, overlap 2
#  [===========)
#            [===========)
#                 [===========)   the last one is full, so it overlaps by more
def test_plan_by_hand():
    assert plan_windows(20.0, 10.0, 2.0) == [Segment(0, 10), Segment(8, 18), Segment(10, 20)]
    assert plan_windows(18.0, 10.0, 2.0) == [Segment(0, 10), Segment(8, 18)]
    assert plan_windows(7.5, 10.0, 2.0) == [Segment(0, 7.5)]


@settings(deadline=None, max_examples=100)
@given(st.floats(0.1, 500.0), st.floats(2.0, 60.0), st.floats(0.0, 0.9))
def test_plan_laws(duration, window, share):
    windows = plan_windows(duration, window, share * window)
    assert windows[0].start == 0.0
    assert windows[-1].end == duration
    assert windows == sorted(set(windows))
    assert all(w.duration_seconds <= window + 1e-9 for w in windows)
    if len(windows) > 1:
        assert all(w.duration_seconds > window - 0.04 - 1e-9 for w in windows)
        assert all(abs(w.start / 0.04 - round(w.start / 0.04)) < 1e-6 for w in windows)
    for left, right in pairwise(windows):
        assert left.end - right.start >= share * window - 1e-6


def test_plan_refuses_windows_that_do_not_advance():
    with pytest.raises(ValueError, match="do not advance"):
        plan_windows(60.0, 10.0, 10.0)
    with pytest.raises(ValueError, match="positive duration"):
        plan_windows(0.0, 10.0, 2.0)


TWO = [Segment(0.0, 10.0), Segment(8.0, 18.0)]


def test_times_become_the_clips():
    np.testing.assert_allclose(merged(TWO, [[1, 2, 0.9]], [[5, 6, 0.8]]), [[1, 2, 0.9], [13, 14, 0.8]], rtol=1e-6)


#  8         9         10  seconds: the overlap of both windows; its middle is 9
#    [===)                  lies deeper in the first window
def test_of_two_sightings_the_deeper_stays():
    kept = merged(TWO, [[8.2, 8.8, 0.7]], [[0.25, 0.85, 0.9]])  # the second says 8.25 to 8.85, 0.9 * half < 0.7
    np.testing.assert_allclose(kept, [[8.2, 8.8, 0.7]], rtol=1e-6)


def test_a_junk_proposal_does_not_displace_a_good_sighting():
    kept = merged(TWO, [[8.2, 8.8, 0.01]], [[0.25, 0.85, 0.9]])
    np.testing.assert_allclose(kept, [[8.25, 8.85, 0.9]], rtol=1e-6)


#  8         9         10        11   seconds
#        [==============)              truth, [9.2, 10.8)
#        [=======|                     the first window sees [9.2, 10)
def test_a_cut_proposal_yields_to_the_whole_one():
    kept = merged(TWO, [[9.2, 10.0, 0.95]], [[1.2, 2.8, 0.6]])
    np.testing.assert_allclose(kept, [[9.2, 10.8, 0.6]], rtol=1e-6)


def test_a_cut_proposal_that_nothing_replaces_stays():
    np.testing.assert_allclose(merged(TWO, [[9.2, 10.0, 0.95]], []), [[9.2, 10.0, 0.95]], rtol=1e-6)


def test_pieces_longer_than_the_overlap_are_joined_over_every_seam():
    windows = [Segment(0, 10), Segment(8, 18), Segment(16, 26)]
    kept = merged(windows, [[4, 10, 0.9]], [[0, 10, 0.8]], [[0, 5, 0.85]])
    np.testing.assert_allclose(kept[0], [4, 21, 0.8], rtol=1e-6)
    assert len(kept) == 1


#  first window  [0 ------------------- 10)            [9.9, 10.0) reaches its right edge
#  second               [8 ------------------ 18)      [8.0, 8.3) begins at its left edge, and ends before the other
def test_two_short_pieces_in_one_overlap_are_not_joined_backwards():
    kept = merged(TWO, [[9.95, 10.0, 0.9]], [[0.0, 0.3, 0.8]])
    assert (kept[:, 1] > kept[:, 0]).all()
    assert len(kept) == 2


def test_a_proposal_at_the_clips_own_ends_is_not_cut():
    kept = merged(TWO, [[0.0, 1.0, 0.9]], [[9.0, 10.0, 0.8]])
    np.testing.assert_allclose(kept, [[0, 1, 0.9], [17, 18, 0.8]], rtol=1e-6)


def test_near_duplicates_of_one_window_are_left_alone():
    assert len(merged(TWO, [[1, 2, 0.9], [1.01, 2, 0.8]], [])) == 2
    assert len(merged(TWO, [[1, 2, 0.9], [1.01, 2, 0.8]], [], max_proposals=1)) == 1


def test_clip_score_and_evidence():
    results = [result([], 0.5, budget=3), result([], 0.6, budget=4)]
    assert merge_windows("a.mp4", 18.0, TWO, results).clip_score == 0.6
    whole = merge_windows("a.mp4", 18.0, TWO, results, clip_rule="noisy-or")
    assert whole.clip_score == pytest.approx(1 - 0.5 * 0.4)
    assert whole.duration_seconds == 18.0
    assert [w["evidence"]["budget"] for w in whole.evidence["windows"]] == [3, 4]
    assert whole.evidence["windows"][1]["start_seconds"] == 8.0


def test_segments_in_the_evidence_become_the_clips_too() -> None:
    named = {"segment": [1.0, 2.0], "score": 0.5, "witnesses": [{"segment": [1.5, 2.5], "weight": 1.0}]}
    results = [result([], witnesses={"audio": [named]}, steps=[3, 4]) for _ in TWO]
    first, second = (w["evidence"] for w in merge_windows("a.mp4", 18.0, TWO, results).evidence["windows"])
    assert first == results[0].evidence
    moved = {"segment": [9.0, 10.0], "score": 0.5, "witnesses": [{"segment": [9.5, 10.5], "weight": 1.0}]}
    assert second == {"witnesses": {"audio": [moved]}, "steps": [3, 4]}
    assert named["segment"] == [1.0, 2.0]


def test_windows_and_results_must_pair_and_come_in_order():
    with pytest.raises(ValueError, match="do not pair"):
        merge_windows("a.mp4", 18.0, TWO, [result([])])
    with pytest.raises(ValueError, match="order of time"):
        merge_windows("a.mp4", 18.0, TWO[::-1], [result([]), result([])])


def test_a_single_window_changes_nothing():
    kept = merged([Segment(0.0, 10.0)], [[1, 2, 0.9], [9.5, 10.0, 0.3]])
    np.testing.assert_allclose(kept, [[1, 2, 0.9], [9.5, 10, 0.3]], rtol=1e-6)
