"""What is printed of a growing clip is never taken back, and is the offline result where it says so."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.localization.settling import SettledPromptly
from iamsb_core.localization.settling_windows import SettledInWindows
from iamsb_core.localization.windows import merge_windows, plan_windows
from iamsb_core.report.evidence import Thresholds
from iamsb_core.report.proposals import cleaned, thinned
from iamsb_core.timeline import Segment

WINDOW, OVERLAP, CELL = 10.0, 2.5, 0.04
NEVER = (math.inf, math.inf)


def rows(*values: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(values, dtype=np.float32).reshape(-1, 3)


def offline(windows: list[Segment], lists: list[np.ndarray], thresholds: Thresholds) -> np.ndarray:
    end, none = windows[-1].end, rows()
    found = [ClipProposals("a", w.duration_seconds, r, none, none, 0.0) for w, r in zip(windows, lists, strict=True)]
    return thinned(cleaned(merge_windows("a", end, windows, found).audio, end), thresholds)


#  window [0, 10); the next one begins between 2 and 7.5 at first, at 7.5 exactly later
#  0         3  4              8  9
#  |.........[==]..............[==]|       [3, 4] waits until no window can begin before 4, [8, 9] for the next window
def test_settling_by_hand():
    lane = SettledInWindows(display=0.5, max_overlap=0.5)
    lane.add(Segment(0.0, 10.0), rows((8.0, 9.0, 0.9), (3.0, 4.0, 0.6), (5.0, 5.5, 0.4)))
    assert lane.settle((2.0, 7.5)).tolist() == []
    np.testing.assert_allclose(lane.settle((4.5, 7.5)), [[3.0, 4.0, 0.6]], atol=1e-6)
    assert lane.settle((7.5, 7.5)).tolist() == []
    lane.add(Segment(7.5, 12.5), rows((0.5, 1.5, 0.8)), is_end=True)
    np.testing.assert_allclose(lane.settle(NEVER), [[8.0, 9.0, 0.9]], atol=1e-6)


def random_lists(rng: np.random.Generator, windows: list[Segment]) -> list[np.ndarray]:
    """Proposals with ties, at window edges, and of all lengths."""
    lists = []
    for window in windows:
        num, seconds = int(rng.integers(0, 12)), window.duration_seconds
        start = rng.uniform(-0.2, seconds, num).clip(0.0)
        end = (start + rng.exponential(1.5, num)).clip(0.05, seconds)
        found = np.stack([start, end, rng.choice([0.2, 0.4, 0.5, 0.6, 0.9, 0.9, rng.random()], num)], axis=1)
        if num and rng.random() < 0.5:
            found[0, :2] = 0.0, rng.uniform(min(1.0, seconds / 2), seconds)
        if num and rng.random() < 0.5:
            found[-1, :2] = rng.uniform(0.0, seconds / 2), seconds
        lists.append(sorted_proposals(found[found[:, 1] > found[:, 0]]))
    return lists


LAST_DIGIT = 1.01e-4
"""seconds are told to four decimals, and a time between two of them may fall to either side"""


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 1 << 30), st.floats(0.5, 60.0), st.sampled_from([0.0, 0.3, 0.5]))
def test_what_settles_is_the_offline_result_and_nothing_else(seed: int, duration: float, display: float):
    rng, thresholds = np.random.default_rng(seed), Thresholds(display=display)
    windows = plan_windows(duration, WINDOW, OVERLAP, align_seconds=CELL)
    lists = random_lists(rng, windows)
    wanted = offline(windows, lists, thresholds)
    lane = SettledInWindows(display=display, max_overlap=thresholds.max_overlap)
    settled = np.zeros((0, 3))
    for number, (window, found) in enumerate(zip(windows, lists, strict=True)):
        is_end = number == len(windows) - 1
        lane.add(window, found, is_end=is_end)
        latest = (number + 1) * math.floor((WINDOW - OVERLAP) / CELL + 1e-9) * CELL
        for known in () if is_end else np.sort(rng.uniform(window.end + CELL, max(window.end + CELL, duration), 2)):
            earliest = math.floor((min(known, duration) - WINDOW) / CELL) * CELL
            earliest = min(max(earliest, window.start + CELL), latest)
            settled = np.concatenate([settled, lane.settle((earliest, latest))])
            assert all(np.abs(wanted - row).max(axis=1).min() < LAST_DIGIT for row in settled)
    settled = np.concatenate([settled, lane.settle(NEVER)])
    assert lane.num_kept == 0
    np.testing.assert_allclose(settled[np.lexsort((settled[:, 1], settled[:, 0]))], wanted, atol=LAST_DIGIT)


def test_settling_keeps_little_over_hours():
    rng, lane, kept, num_settled = np.random.default_rng(0), SettledInWindows(display=0.5, max_overlap=0.5), [], 0
    for number in range(480):  # an hour
        start = number * 7.48
        window = Segment(start, start + WINDOW)
        lane.add(window, random_lists(rng, [window])[0])
        num_settled += len(lane.settle((start + 7.48, start + 7.48)))
        kept.append(lane.num_kept)
    assert num_settled > 480
    assert max(kept) < 100


def test_prompt_settling_by_hand():
    lane = SettledPromptly(look_ahead_seconds=1.5, max_overlap=0.5)
    assert lane.settle(rows((1.0, 2.0, 0.9)), 3.0).tolist() == []  # 1 s follows
    assert lane.settle(rows((1.0, 2.25, 0.75)), 4.0).tolist() == [[1.0, 2.25, 0.75]]
    assert lane.settle(rows((1.0, 2.5, 0.9)), 4.5).tolist() == []  # said already
    assert lane.settle(rows((0.0, 0.5, 0.9), (4.0, 5.0, 0.5)), 5.0, is_end=True).tolist() == [[4.0, 5.0, 0.5]]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1 << 30), st.floats(0.0, 4.0))
def test_nothing_prompt_is_said_twice_or_late(seed: int, look_ahead: float):
    rng = np.random.default_rng(seed)
    lane, said = SettledPromptly(look_ahead_seconds=look_ahead, max_overlap=0.5), np.zeros((0, 3))
    for end in np.arange(0.5, 20.0, 0.5):
        start = rng.uniform(max(0.0, end - 8.0), end, 4)
        found = np.stack([start, rng.uniform(start, end), rng.random(4)], axis=1)
        shown = thinned(cleaned(found, end), Thresholds(display=0.1))
        new = lane.settle(shown, float(end), begin_seconds=max(0.0, end - 8.0))
        assert all(end - 1.5 - look_ahead - 1e-9 <= row[1] <= end - look_ahead for row in new)
        said = np.concatenate([said, new])
    for number, row in enumerate(said):
        others = said[:number]
        overlap = np.minimum(row[1], others[:, 1]) - np.maximum(row[0], others[:, 0])
        shorter = np.minimum(row[1] - row[0], others[:, 1] - others[:, 0])
        assert (overlap <= 0.5 * shorter + 1e-9).all()


def test_a_negative_look_ahead_is_refused():
    with pytest.raises(ValueError, match="cannot be negative"):
        SettledPromptly(look_ahead_seconds=-1.0, max_overlap=0.5)
