"""Is the clip forged, is the cell forged: areas and rates of a score against a yes or no."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from iamsb_core.timeline import Segment, TimeGrid


def roc_auc(forged: NDArray[np.bool_], scores: NDArray[np.floating]) -> float | None:
    """Area under the ROC curve: the chance that a forged one outscores a genuine one, ties counting half.

    (N,) and (N,). None where one of the two kinds is absent.
    """
    num_forged = int(forged.sum())
    num_genuine = len(forged) - num_forged
    if num_forged == 0 or num_genuine == 0:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = mean_rank[place][forged].sum()
    return float((rank_sum - num_forged * (num_forged + 1) / 2) / (num_forged * num_genuine))


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


def cell_truth(truth: NDArray[np.floating], grid: TimeGrid) -> NDArray[np.bool_]:
    """(cells,): whether each cell's centre lies in a forged segment; truth is (K, 2) seconds."""
    forged = np.zeros(grid.num_cells, dtype=bool)
    for start, end in truth.tolist():
        forged[grid.cells(Segment(start, end))] = True
    return forged


def cell_scores(proposals: NDArray[np.floating], grid: TimeGrid) -> NDArray[np.float64]:
    """(cells,): the best score of the proposals that hold each cell's centre, 0 where none does; (N, 3)."""
    scores = np.zeros(grid.num_cells)
    bounds = np.ceil(proposals[:, :2].astype(np.float64) / grid.hop_seconds - 0.5 - 1e-9)
    bounds = np.clip(bounds, 0, grid.num_cells).astype(np.int64)
    # lowest first, so that the better score is written last
    for index in np.argsort(proposals[:, 2], kind="stable"):
        first, last = bounds[index]
        scores[first:last] = proposals[index, 2]
    return scores


def cell_auc(
    clips: Iterable[tuple[float, NDArray[np.floating], NDArray[np.floating]]], *, hop_seconds: float = 0.04
) -> float | None:
    """AUC over the cells of all clips, each (duration seconds, truth (K, 2), proposals (N, 3)).

    At a hop of 0.04 s this is the frame-level AUC of 25 fps video.
    """
    truths, scores = [np.empty(0, dtype=bool)], [np.empty(0)]
    for duration_seconds, truth, proposals in clips:
        grid = TimeGrid.covering(duration_seconds, hop_seconds)
        truths.append(cell_truth(truth, grid))
        scores.append(cell_scores(proposals, grid))
    return roc_auc(np.concatenate(truths), np.concatenate(scores))
