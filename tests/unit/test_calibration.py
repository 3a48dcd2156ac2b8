"""What a dev split says of a model's own scores: maps, boundary intervals, rates of errors."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.calibration import (
    Calibration,
    boundary_intervals,
    conformal_half_width,
    expected_calibration_error,
    fit_score_map,
)
from iamsb_core.metrics.operating_point import FalseAlarms, Misses, alarm_limits
from iamsb_core.timeline import Segment
from iamsb_core.training.calibration import calibrate, calibration_errors


def drawn(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores whose logits are twice too large and 1 too high, with outcomes drawn from the true probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 1.5, number)
    outcomes = rng.random(number) < 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-(2.0 * logits + 1.0))), outcomes, np.arange(number)


#  probabilities  .1 .1 | .8 .9     outcomes  0 1 | 1 1     four cases, bins of a tenth
#  |(.0 - .1) + (1 - .1)| / 4 = .2; |1 - .8| / 4 = .05; |1 - .9| / 4 = .025
def test_the_calibration_error_by_hand() -> None:
    probabilities = np.array([0.1, 0.1, 0.8, 0.9])
    assert expected_calibration_error(probabilities, np.array([False, True, True, True])) == pytest.approx(0.275)
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0.0


def test_the_calibration_error_is_scikit_learns() -> None:
    scores, outcomes, _ = drawn(500)
    shares, means = calibration_curve(outcomes, scores, n_bins=10)
    counts = np.histogram(scores, np.linspace(0, 1, 11))[0]
    assert expected_calibration_error(scores, outcomes) == pytest.approx(
        np.sum(np.abs(shares - means) * counts[counts > 0]) / 500
    )


def test_platt_finds_the_slope_and_the_shift_again() -> None:
    fitted = fit_score_map(*drawn(999))
    assert fitted is not None
    assert fitted.method == "platt"
    # score logit = 2 x + 1, so x = 0.5 logit - 0.5
    assert (fitted.slope, fitted.intercept) == (pytest.approx(0.5, abs=0.08), pytest.approx(-0.5, abs=0.2))
    assert fitted.ece_after < fitted.ece_before / 2


def test_platt_is_scikit_learns_logistic_regression_on_smoothed_targets() -> None:
    scores, outcomes, groups = drawn(400)
    fitted = fit_score_map(scores, outcomes, groups)
    logits = np.log(scores / (1 - scores))[:, None]
    num_true = outcomes.sum()
    targets = np.where(outcomes, (num_true + 1) / (num_true + 2), 1 / (400 - num_true + 2))
    twice = LogisticRegression(C=np.inf, tol=1e-10).fit(
        np.concatenate([logits, logits]), np.repeat([1, 0], 400), np.concatenate([targets, 1 - targets])
    )
    assert fitted is not None
    assert fitted(scores) == pytest.approx(twice.predict_proba(logits)[:, 1], abs=1e-4)


def test_many_cases_are_mapped_as_scikit_learns_isotonic_regression_maps_them() -> None:
    scores, outcomes, groups = drawn(3000)
    fitted = fit_score_map(scores, outcomes, groups)
    assert fitted is not None
    assert fitted.method == "isotonic"
    other = IsotonicRegression(out_of_bounds="clip").fit(scores, outcomes).predict(np.asarray(fitted.scores))
    inside = (other > 0.001) & (other < 0.999)
    assert np.asarray(fitted.probabilities)[inside] == pytest.approx(other[inside])
    assert fitted.ece_after < fitted.ece_before / 3


@pytest.mark.parametrize("number", [300, 1500])
@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=30))
@settings(deadline=None, max_examples=30)
def test_a_map_never_falls_and_is_never_certain(number: int, scores: list[float]) -> None:
    fitted = fit_score_map(*drawn(number))
    assert fitted is not None
    mapped = fitted(np.sort(scores))
    assert (np.diff(mapped) >= 0.0).all()
    assert (mapped > 0.0).all()
    assert (mapped < 1.0).all()


def test_scores_that_say_the_opposite_become_one_probability() -> None:
    scores, outcomes, groups = drawn(300)
    fitted = fit_score_map(scores, ~outcomes, groups)
    assert fitted is not None
    assert fitted.slope == 0.0
    assert fitted(np.array([0.1, 0.9])) == pytest.approx((~outcomes).mean(), abs=0.01)


def test_too_few_cases_are_not_mapped() -> None:
    scores = np.linspace(0.0, 1.0, 100)
    assert fit_score_map(scores, np.arange(100) < 9, np.arange(100)) is None
    assert fit_score_map(scores, np.arange(100) < 10, np.arange(100)) is not None


#  nine errors: rank ceil(10 * .9) = 9, the largest of them; coverage 9 / 10. Eight: rank ceil(8.1) = 9 > 8, none.
def test_the_conformal_interval_by_hand() -> None:
    errors = np.array([0.01, -0.02, 0.03, -0.04, 0.05, 0.06, -0.07, 0.08, -0.09])
    assert conformal_half_width(errors, 0.9) == (pytest.approx(0.09), pytest.approx(0.9))
    assert conformal_half_width(errors, 0.5) == (pytest.approx(0.05), pytest.approx(0.5))
    assert conformal_half_width(errors[:8], 0.9) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_half_width(errors, 1.0)


def test_the_conformal_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    errors = rng.standard_t(2, (4000, 31))
    widths = [conformal_half_width(row[:30], 0.9) for row in errors]
    coverage = widths[0][1]
    assert coverage == pytest.approx(28 / 31)
    covered = np.mean([abs(row[30]) <= width for row, (width, _) in zip(errors, widths, strict=True)])
    assert covered == pytest.approx(coverage, abs=4 * np.sqrt(coverage * (1 - coverage) / 4000))


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=60)
def test_more_coverage_never_makes_the_interval_shorter(errors: list[float], one: float, other: float) -> None:
    low, high = (conformal_half_width(np.array(errors), level) for level in sorted((one, other)))
    assert high is None or (low is not None and low[0] <= high[0])
    assert low is None or low[1] >= min(one, other) - 1e-9


#  hours 2, genuine scores .9 .7 .5: none allowed -> 3.00 / 2 = 1.5 per hour, from just above .9;
#  one allowed -> 4.74 / 2 = 2.37 per hour, from just above .7
def test_the_threshold_of_a_false_alarm_rate_by_hand() -> None:
    genuine = FalseAlarms.of(np.array([0.5, 0.9, 0.7]), hours=2.0)
    strict = genuine.limit(1.5)
    assert strict is not None
    assert (strict.threshold, strict.num_false_alarms, strict.supported) == (0.900001, 0, True)
    assert strict.limit_per_hour == pytest.approx(2.9957 / 2, abs=1e-4)
    lax = genuine.limit(2.4)
    assert lax is not None
    assert (lax.threshold, lax.num_false_alarms) == (0.700001, 1)
    too_strict = genuine.limit(1.0)
    assert too_strict is not None
    assert (too_strict.threshold, too_strict.supported) == (0.900001, False)
    assert too_strict.lowest_per_hour == pytest.approx(2.9957 / 2, abs=1e-4)
    assert FalseAlarms.of(np.empty(0), hours=0.0).limit(1.0) is None
    with pytest.raises(ValueError, match="above 0"):
        genuine.limit(0.0)


def test_a_genuine_clip_that_scores_1_leaves_no_score_high_enough() -> None:
    limit = FalseAlarms.of(np.array([1.0, 0.2]), hours=1.0).limit(0.1)
    assert limit is not None
    assert limit.threshold > 1.0


@pytest.mark.parametrize("rate", [0.5, 3.0, 40.0])
def test_the_limit_of_a_count_is_exact(rate: float) -> None:
    """With probability 0.95 or more the limit of what is counted lies above the true mean (Garwood 1936)."""
    counts = np.arange(200)
    limits = alarm_limits(counts)
    covered = stats.poisson.pmf(counts, rate)[limits >= rate].sum()
    assert 0.95 - 1e-9 <= covered <= 1.0
    assert limits[0] == pytest.approx(-np.log(0.05))


def test_the_true_rate_stays_below_the_target_for_19_splits_of_20() -> None:
    """The threshold is chosen on the very clips that are counted: the limit must hold all the same."""
    rng = np.random.default_rng(1)
    target, hours, clips = 2.0, 4.0, 400
    rates = []
    for _ in range(600):
        limit = FalseAlarms.of(rng.random(clips), hours).limit(target)
        assert limit is not None
        assert limit.supported
        rates.append(clips / hours * (1.0 - limit.threshold))  # uniform scores: the true rate above a threshold
    broken = np.mean(np.array(rates) > target)
    assert broken <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.1, 50), st.floats(0.1, 50))
@settings(deadline=None, max_examples=60)
def test_a_stricter_target_never_lowers_the_threshold(scores: list[float], one: float, other: float) -> None:
    genuine = FalseAlarms.of(np.array(scores), hours=1.0)
    strict, lax = (genuine.limit(target) for target in sorted((one, other)))
    assert strict is not None
    assert lax is not None
    assert strict.threshold >= lax.threshold
    assert sum(score >= lax.threshold for score in np.round(scores, 6)) <= lax.num_false_alarms


#  two of ten below .5; the upper limit p solves P(at most 2 of 10) = .05: p = .507
def test_missed_clips_by_hand() -> None:
    misses = Misses.of(np.array([0.1, 0.4, 0.6, 0.6, 0.7, 0.7, 0.8, 0.8, 0.9, 0.9]))
    assert misses.below(0.5) == 2
    assert misses.share_limit(0.5) == pytest.approx(0.507, abs=1e-3)
    assert stats.binom.cdf(2, 10, misses.share_limit(0.5)) == pytest.approx(0.05)
    assert Misses.of(np.empty(0)).share_limit(0.5) == 1.0


def test_of_many_missed_clips_none_is_forgotten() -> None:
    scores = np.random.default_rng(0).random(2500)
    misses = Misses.of(scores)
    assert len(misses.scores) <= 1000
    for threshold in (0.0, 0.1, 0.33, 1.0):
        assert 0 <= misses.below(threshold) - int((scores < threshold).sum()) <= 3


def one_clip(number: int) -> tuple[VideoRecord, ClipProposals]:
    """A clip of 5 s; every other one is forged in its sound from 1 s to 2 s, found 10 ms late with a high score."""
    forged = number % 2 == 0
    truth = (Forgery(Segment(1.0, 2.0), Modality.AUDIO),) if forged else ()
    name = f"{number}.mp4"
    record = VideoRecord(video_id=name, path=Path(name), split="dev", duration_seconds=5.0, forgeries=truth)
    rows = [[1.01, 2.01, 0.9 if forged else 0.3], [3.0, 4.0, 0.2 + 0.01 * number]]
    lane = np.array(sorted(rows, key=lambda row: -row[2]), dtype=np.float32)
    none = np.zeros((0, 3), dtype=np.float32)
    return record, ClipProposals(name, 5.0, lane, none, lane, 0.8 if forged else 0.1 + 0.001 * number)


def test_a_dev_split_becomes_a_calibration() -> None:
    pairs = [one_clip(number) for number in range(24)]
    manifest = Manifest("made", Path(), tuple(record for record, _ in pairs))
    calibration = calibrate(manifest, {clip.video_id: clip for _, clip in pairs}, display_threshold=0.5)
    audio = calibration.audio.boundaries
    assert (audio.num_segments, audio.coverage) == (12, pytest.approx(12 / 13))
    assert audio.start_seconds == pytest.approx(0.01, abs=1e-6)
    assert calibration.visual.boundaries.num_segments == 0
    assert calibration.visual.boundaries.start_seconds is None
    assert calibration.visual.score_map is None
    assert calibration.audio.score_map is not None
    assert calibration.audio.score_map.num_true == 12
    assert calibration.clip is not None
    assert calibration.false_alarms.num_clips == calibration.misses.num_clips == 12
    assert calibration.false_alarms.hours == pytest.approx(12 * 5 / 3600)
    assert calibration.false_alarms.highest_scores[0] == pytest.approx(0.123)
    assert set(dict(calibration_errors(calibration))) == {
        f"ece_{name}{after}" for name in ("audio", "fused", "clip") for after in ("", "_calibrated")
    }
    assert parse(Calibration, json.loads(json.dumps(plain(calibration)))) == calibration


def test_a_clip_without_a_label_says_nothing() -> None:
    pairs = [one_clip(number) for number in range(4)]
    unknown = tuple(dataclasses.replace(record, forgeries=(), label="none") for record, _ in pairs)
    found = {clip.video_id: clip for _, clip in pairs}
    calibration = calibrate(Manifest("made", Path(), unknown), found, 0.5)
    assert calibration.false_alarms.num_clips == calibration.misses.num_clips == 0
    assert calibration.audio.boundaries == boundary_intervals(np.empty((0, 2)), 0.9)
