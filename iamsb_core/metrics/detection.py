"""Is the clip forged: areas and rates of a score against a yes or no, and the verdicts at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What comes of saying `forged` from a threshold on. A rate is None where there is nothing to take it of."""

    threshold: float
    chosen_on: str
    """`given`, or the split whose best accuracy chose it"""
    accuracy: float | None
    """share of right verdicts; where most clips are forged, always saying so already scores high"""
    balanced_accuracy: float | None
    """the same with both kinds weighing the same"""
    hit_rate: float | None
    """share of the forged that are called so"""
    false_alarm_rate: float | None
    """share of the genuine that are called forged"""


def roc_auc(forged: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """Area under the ROC curve: the chance that a forged one outscores a genuine one, ties counting half.

    (N,) and (N,). None where one of the two kinds is absent.
    """
    ones, others = np.sort(scores[forged]), np.sort(scores[~forged])
    if len(ones) == 0 or len(others) == 0:
        return None
    below = int(np.searchsorted(others, ones, side="left").sum())
    not_above = int(np.searchsorted(others, ones, side="right").sum())
    return (below + not_above) / 2 / (len(ones) * len(others))


def equal_error_rate(forged: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """The error at which misses and false alarms are equally frequent, between points of the ROC curve by a line.

    None where one of the two kinds is absent.
    """
    if forged.all() or not forged.any():
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    hits = np.append(0, np.cumsum(forged[order])[last_of_ties]) / forged.sum()
    alarms = np.append(0, np.cumsum(~forged[order])[last_of_ties]) / (~forged).sum()
    gap = alarms - (1 - hits)
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(alarms[before] + share * (alarms[after] - alarms[before]))


def accuracy(forged: NDArray[np.bool_], scores: NDArray[np.floating], threshold: float) -> float | None:
    """Share of right verdicts where a score of the threshold or more says forged; None for no clips."""
    return float(((scores >= threshold) == forged).mean()) if len(forged) else None


def decide(
    forged: NDArray[np.bool_], scores: NDArray[np.floating], threshold: float, chosen_on: str = "given"
) -> Decision:
    """The verdicts at a threshold, (N,) and (N,)."""
    hit_rate = float((scores[forged] >= threshold).mean()) if forged.any() else None
    false_alarm_rate = float((scores[~forged] >= threshold).mean()) if not forged.all() else None
    both = None if hit_rate is None or false_alarm_rate is None else (hit_rate + 1 - false_alarm_rate) / 2
    return Decision(
        threshold=threshold,
        chosen_on=chosen_on,
        accuracy=accuracy(forged, scores, threshold),
        balanced_accuracy=both,
        hit_rate=hit_rate,
        false_alarm_rate=false_alarm_rate,
    )


def best_threshold(forged: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """The threshold of the best accuracy, to be chosen on one split and used on another.

    It lies half-way between two scores, or just outside them all; the lowest of equally good ones.
    """
    if len(scores) == 0:
        raise ValueError("a threshold needs scores to choose from; give at least one clip")
    values = np.unique(scores).astype(np.float64)
    choices = np.concatenate([[values[0] - 1e-6], (values[:-1] + values[1:]) / 2, [values[-1] + 1e-6]])
    forged_at_least = forged.sum() - np.searchsorted(np.sort(scores[forged]), choices)
    genuine_below = np.searchsorted(np.sort(scores[~forged]), choices)
    return float(choices[int(np.argmax(forged_at_least + genuine_below))])
