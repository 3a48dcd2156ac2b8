"""From which scores on to speak: thresholds chosen on one split, to be used on videos never seen.

Rates of errors are bounded, not estimated: the exact one-sided upper limits of Garwood (1936) for counts over hours
and of Clopper and Pearson (1934) for shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from iamsb_core.localization.nms import hard_nms
from iamsb_core.localization.proposals import Proposals
from iamsb_core.metrics.tiou import pairwise_tiou

FOUND_TIOU = 0.5
CONFIDENCE = 0.95
"""with which the limits below hold"""
_KEPT_SCORES = 1000
_SCORE_STEP = 1e-6
"""a report's scores are rounded to this"""


@dataclass(frozen=True, kw_only=True)
class AlarmLimit:
    """A clip score, and how often genuine video reaches it."""

    threshold: float
    """above 1 where genuine clips score 1: then no score is high enough"""
    target_per_hour: float
    num_false_alarms: int
    """genuine dev clips that may reach the threshold"""
    limit_per_hour: float
    """upper limit of the rate of false alarms, with `CONFIDENCE`"""
    lowest_per_hour: float
    """the lowest target that the split's hours can support: the limit where nothing was a false alarm"""

    @property
    def supported(self) -> bool:
        """Whether the target is met."""
        return self.limit_per_hour <= self.target_per_hour


@dataclass(frozen=True, kw_only=True)
class FalseAlarms:
    """The genuine clips of a split, by their scores. One alarm is one genuine clip whose score reaches a threshold."""

    num_clips: int
    hours: float
    highest_scores: tuple[float, ...]
    """falling: all, or the 1000 highest"""

    @classmethod
    def of(cls, scores: NDArray[np.float64], hours: float) -> FalseAlarms:
        """From the scores (N,) of genuine clips that last `hours` in all."""
        highest = np.sort(scores)[::-1][:_KEPT_SCORES]
        return cls(num_clips=len(scores), hours=hours, highest_scores=tuple(highest.round(6).tolist()))

    def limit(self, target_per_hour: float, confidence: float = CONFIDENCE) -> AlarmLimit | None:
        """The lowest threshold whose rate of false alarms stays below the target; None without genuine clips.

        Where the hours are too few for the target it is the score that no genuine clip reaches. Looking for the
        lowest threshold costs no confidence: thresholds are tried downwards and the first that fails ends it
        (fixed-sequence testing). Raises ValueError for a target that is not positive.
        """
        if not target_per_hour > 0.0:
            raise ValueError(f"the target must be above 0 false alarms per hour, got {target_per_hour}")
        if not self.num_clips or not self.hours > 0.0:
            return None
        limits = alarm_limits(np.arange(len(self.highest_scores) + 1), confidence) / self.hours
        allowed = max(0, int(np.sum(limits <= target_per_hour)) - 1)  # the limits rise with the count
        reached = self.highest_scores[allowed] if allowed < len(self.highest_scores) else -_SCORE_STEP
        return AlarmLimit(
            threshold=round(reached + _SCORE_STEP, 6),
            target_per_hour=target_per_hour,
            num_false_alarms=allowed,
            limit_per_hour=float(limits[allowed]),
            lowest_per_hour=float(limits[0]),
        )


@dataclass(frozen=True, kw_only=True)
class Misses:
    """The forged clips of a split, by their scores."""

    num_clips: int
    scores: tuple[float, ...]
    """rising: all, or every n-th of them so that 1000 or fewer are left"""

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> Misses:
        """From the scores (N,) of forged clips."""
        step = max(1, math.ceil(len(scores) / _KEPT_SCORES))
        return cls(num_clips=len(scores), scores=tuple(np.sort(scores)[step - 1 :: step].round(6).tolist()))

    def below(self, threshold: float) -> int:
        """How many score below the threshold, at most: where scores were left out, they are counted."""
        step = max(1, math.ceil(self.num_clips / _KEPT_SCORES))
        return min(self.num_clips, int(np.sum(np.asarray(self.scores) < threshold)) * step + step - 1)

    def share_limit(self, threshold: float, confidence: float = CONFIDENCE) -> float:
        """Upper limit of the share of forged clips that score below the threshold; 1 without any."""
        missed = self.below(threshold)
        if missed >= self.num_clips:
            return 1.0
        return float(stats.beta.ppf(confidence, missed + 1, self.num_clips - missed))


def alarm_limits(counts: NDArray[np.int64], confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """Upper limits of Poisson means of which these counts were seen: 3.00 for none, 4.74 for one.

    Alarms of clips are Bernoulli trials, whose own limit is lower: this one is on the safe side.
    """
    return np.asarray(stats.chi2.ppf(confidence, 2 * (counts + 1)) / 2.0)


def segment_threshold(truths: Sequence[NDArray[np.float64]], proposals: Sequence[Proposals]) -> float:
    """The proposal score from which on the segments shown agree best with the truth, by F1 at a tiou of 0.5.

    Of overlapping proposals only the best is counted, as a report shows it. 0.5 where there is nothing to find.
    """
    counted = [_hits(truth, hard_nms(found)) for truth, found in zip(truths, proposals, strict=True)]
    hits = np.concatenate([np.empty((0, 2)), *counted])
    num_truths = sum(len(truth) for truth in truths)
    if num_truths == 0 or not hits[:, 1].any():
        return 0.5
    hits = hits[np.argsort(-hits[:, 0], kind="stable")]
    f1 = 2.0 * np.cumsum(hits[:, 1]) / (num_truths + np.arange(1, len(hits) + 1))
    return float(hits[int(np.argmax(f1)), 0])


def clip_threshold(forged: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The clip score from which on calling a clip forged is right most often, both kinds weighing the same.

    Half-way between two scores; the highest of equally good ones, since a false accusation is the worse error.
    0.5 where one kind is missing.
    """
    if forged.all() or not forged.any():
        return 0.5
    values = np.unique(scores)
    between = np.maximum((values[:-1] + values[1:]) / 2, np.nextafter(values[:-1], np.inf))
    choices = np.concatenate([values[:1], between])
    caught = (scores[forged][:, None] >= choices).mean(axis=0)
    cleared = (scores[~forged][:, None] < choices).mean(axis=0)
    return float(choices[len(choices) - 1 - int(np.argmax((caught + cleared)[::-1]))])


def matches(truth: NDArray[np.float64], proposals: Proposals) -> NDArray[np.int64]:
    """(N,): which true segment each proposal meets at a tiou of 0.5, or -1.

    Of those that meet the same one only the first, the best scored, has it.
    """
    met = np.full(len(proposals), -1, dtype=np.int64)
    if len(truth) and len(proposals):
        meets = pairwise_tiou(proposals[:, :2], truth) >= FOUND_TIOU
        found = np.flatnonzero(meets.any(axis=0))
        met[meets.argmax(axis=0)[found]] = found
    return met


def _hits(truth: NDArray[np.float64], proposals: Proposals) -> NDArray[np.float64]:
    """(N, 2): score, and 1 for the best scored proposal that meets each true segment."""
    return np.stack([proposals[:, 2].astype(np.float64), matches(truth, proposals) >= 0], axis=1)
