"""How often a score is right, and how far a boundary may be off: what a dev split says of a model's own numbers.

Score maps turn a score into the share of such scores that were right. Boundary intervals are split-conformal
(Vovk, Gammerman and Shafer 2005; Lei et al. 2018): they promise a coverage and assume only that the segment is
exchangeable with the dev split's. All are pure functions of scores, outcomes and errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize

from iamsb_core.metrics.operating_point import FalseAlarms, Misses

Floats = NDArray[np.float64]
MapMethod = Literal["platt", "isotonic"]

FEWEST_OF_A_KIND = 10
"""right, and wrong, cases that a map needs: five for each of Platt's two parameters, of either kind"""
_ISOTONIC_FROM = 1000
"""cases from which the isotonic map beats Platt's (Niculescu-Mizil and Caruana 2005, section 5)"""
_NUM_BINS = 10
_NUM_FOLDS = 5
_EDGE = 1e-6


@dataclass(frozen=True, kw_only=True)
class ScoreMap:
    """From a score to a probability that never falls as the score rises."""

    method: MapMethod
    num_cases: int
    num_true: int
    ece_before: float = 0.0
    """expected calibration error of the scores themselves"""
    ece_after: float = 0.0
    """of the mapped ones, each mapped by a fit that did not see its clip"""
    slope: float = 1.0
    intercept: float = 0.0
    """platt: sigmoid(slope * logit(score) + intercept)"""
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()
    """isotonic: read linearly between these, level beyond them"""

    def __call__(self, scores: Floats) -> Floats:
        """Probabilities of these scores, the same shape."""
        if self.method == "isotonic":
            return np.asarray(np.interp(scores, self.scores, self.probabilities), dtype=np.float64)
        return _sigmoid(self.slope * _logit(np.asarray(scores, dtype=np.float64)) + self.intercept)


@dataclass(frozen=True, kw_only=True)
class BoundaryIntervals:
    """How far a segment's ends may be from the true ones, from the errors of matched dev segments."""

    level: float
    """the coverage asked for, of each end by itself"""
    num_segments: int
    coverage: float | None
    """the coverage that is guaranteed, at least `level`; None where there are too few segments to promise any"""
    start_seconds: float | None
    """half the interval's width around a start"""
    end_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class LaneCalibration:
    """What the dev split says of one stream's segments, or of the fused ones."""

    score_map: ScoreMap | None
    """to the probability that a shown segment meets a forged one at a tiou of 0.5; None for too few cases"""
    boundaries: BoundaryIntervals


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a model's dev split says of its scores; kept in the model's card."""

    audio: LaneCalibration
    visual: LaneCalibration
    fused: LaneCalibration
    clip: ScoreMap | None
    """to the probability that a clip is forged, where as many are as on the dev split"""
    false_alarms: FalseAlarms
    misses: Misses

    def lane(self, name: str) -> LaneCalibration:
        """That of `audio`, `visual` or `fused`."""
        return {"audio": self.audio, "visual": self.visual, "fused": self.fused}[name]


def fit_score_map(scores: Floats, outcomes: NDArray[np.bool_], groups: NDArray[np.int64]) -> ScoreMap | None:
    """The map of scores (N,) whose outcomes (N,) are known; None with fewer than 10 of either outcome.

    Platt's (1999) with his smoothed targets, or the isotonic one from 1000 cases on. `groups` (N,) numbers the clips:
    the error after mapping is measured on clips that the fit did not see, in five folds.
    """
    num_true = int(outcomes.sum())
    if min(num_true, len(scores) - num_true) < FEWEST_OF_A_KIND:
        return None
    method: MapMethod = "isotonic" if len(scores) >= _ISOTONIC_FROM else "platt"
    return replace(
        _fitted(scores, outcomes, method),
        ece_before=expected_calibration_error(scores, outcomes),
        ece_after=expected_calibration_error(_cross_fitted(scores, outcomes, groups, method), outcomes),
    )


def expected_calibration_error(probabilities: Floats, outcomes: NDArray[np.bool_], num_bins: int = _NUM_BINS) -> float:
    """Mean over cases of |share that was right - mean probability| of the case's bin (Guo et al. 2017, equation 3).

    Bins are equally wide; a probability on an edge belongs to the upper bin, 1 to the last.
    """
    if not len(probabilities):
        return 0.0
    places = np.minimum((np.asarray(probabilities) * num_bins).astype(int), num_bins - 1)
    gaps = np.bincount(places, weights=outcomes.astype(float) - probabilities, minlength=num_bins)
    return float(np.abs(gaps).sum() / len(probabilities))


def conformal_half_width(errors: Floats, level: float) -> tuple[float, float] | None:
    """(half width, guaranteed coverage) of an interval around a new estimate, from (N,) errors of earlier ones.

    The k-th smallest |error| with k = ceil((N + 1) level), which covers with probability k / (N + 1) or more; None
    where k exceeds N. Raises ValueError for a level outside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"a coverage must lie between 0 and 1, got {level}")
    rank = math.ceil((len(errors) + 1) * level - 1e-9)
    if rank > len(errors):
        return None
    return float(np.sort(np.abs(errors))[rank - 1]), rank / (len(errors) + 1)


def boundary_intervals(errors_seconds: Floats, level: float) -> BoundaryIntervals:
    """Intervals from the errors (N, 2) of matched segments' starts and ends."""
    start, end = (conformal_half_width(errors_seconds[:, side], level) for side in (0, 1))
    return BoundaryIntervals(
        level=level,
        num_segments=len(errors_seconds),
        coverage=None if start is None else start[1],
        start_seconds=None if start is None else start[0],
        end_seconds=None if end is None else end[0],
    )


def _fitted(scores: Floats, outcomes: NDArray[np.bool_], method: MapMethod) -> ScoreMap:
    """The map, its errors not measured yet. Needs both outcomes for `platt`."""
    bare = ScoreMap(method=method, num_cases=len(scores), num_true=int(outcomes.sum()))
    if method == "isotonic":
        knots, levels = _isotonic(scores, outcomes)
        return replace(bare, scores=knots, probabilities=levels)
    slope, intercept = _platt(scores, outcomes)
    return replace(bare, slope=slope, intercept=intercept)


def _platt(scores: Floats, outcomes: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope (not negative) and intercept of least log loss, against targets (n + 1) / (n + 2) and 1 / (n + 2)."""
    num_true, num_false = int(outcomes.sum()), int((~outcomes).sum())
    targets = np.where(outcomes, (num_true + 1) / (num_true + 2), 1 / (num_false + 2))
    logits = _logit(scores)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        raw = parameters[0] * logits + parameters[1]
        slack = _sigmoid(raw) - targets
        value = np.logaddexp(0.0, raw) - targets * raw
        return float(value.mean()), np.array([(slack * logits).mean(), slack.mean()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def _isotonic(scores: Floats, outcomes: NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Each level of the non-decreasing fit at the mean of its scores; never 0 or 1, which no number of cases proves."""
    values, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shares = np.bincount(places, weights=outcomes.astype(float)) / counts
    fit = isotonic_regression(shares, weights=counts.astype(float))
    firsts = fit.blocks[:-1]
    means = np.add.reduceat(values * counts, firsts) / np.add.reduceat(counts, firsts)
    least = 1.0 / (len(scores) + 2)
    levels = np.clip(fit.x[firsts], least, 1.0 - least)
    return tuple(means.tolist()), tuple(levels.tolist())


def _cross_fitted(scores: Floats, outcomes: NDArray[np.bool_], groups: NDArray[np.int64], method: MapMethod) -> Floats:
    """Each score mapped by a fit to the clips of the other folds."""
    folds = np.unique(groups, return_inverse=True)[1] % _NUM_FOLDS
    mapped = np.full(len(scores), outcomes.mean())
    for fold in range(_NUM_FOLDS):
        here, there = folds == fold, folds != fold
        if here.any() and outcomes[there].any() and not outcomes[there].all():
            mapped[here] = _fitted(scores[there], outcomes[there], method)(scores[here])
    return mapped


def _logit(scores: Floats) -> Floats:
    inside = np.clip(scores, _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -40.0, 40.0))))
