"""Is the cell forged: frame-level detection, told from segments. Shapes: N proposals, K truths, M cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.detection import roc_auc
from iamsb_core.timeline import Segment, TimeGrid

_CLIPS_AT_ONCE = 2000
"""bounds the memory of the tables, and keeps them in the cache"""

Clip = tuple[float, NDArray[np.floating], NDArray[np.floating]]
"""duration seconds, truth (K, 2), proposals (N, 3)"""


def cell_truth(truth: NDArray[np.floating], grid: TimeGrid) -> NDArray[np.bool_]:
    """(M,): whether each cell's centre lies in a forged segment; truth is (K, 2) seconds.

    A segment of no or negative length holds no cell.
    """
    forged = np.zeros(grid.num_cells, dtype=bool)
    for start, end in truth.tolist():
        if end > max(start, 0.0):
            forged[grid.cells(Segment(max(start, 0.0), end))] = True
    return forged


def cell_scores(proposals: NDArray[np.floating], grid: TimeGrid) -> NDArray[np.float32]:
    """(M,): the best score of the proposals that hold each cell's centre, 0 where none does; (N, 3)."""
    return _best_scores([(proposals, grid)])


def cell_auc(clips: Iterable[Clip], *, hop_seconds: float = 0.04) -> float | None:
    """AUC over the cells of all clips. At a hop of 0.04 s this is the frame-level AUC of 25 fps video."""
    truths, scores = [np.empty(0, dtype=bool)], [np.empty(0, dtype=np.float32)]
    remaining = iter(clips)
    while block := list(islice(remaining, _CLIPS_AT_ONCE)):
        grids = [TimeGrid.covering(duration_seconds, hop_seconds) for duration_seconds, _, _ in block]
        truths += [cell_truth(truth, grid) for (_, truth, _), grid in zip(block, grids, strict=True)]
        scores.append(_best_scores([(proposals, grid) for (*_, proposals), grid in zip(block, grids, strict=True)]))
    return roc_auc(np.concatenate(truths), np.concatenate(scores))


def _best_scores(clips: Sequence[tuple[NDArray[np.floating], TimeGrid]]) -> NDArray[np.float32]:
    """The cells' scores of several clips, one clip after the other.

    A proposal over n cells is the union of two runs of 2 ** k cells, k = floor(log2 n): its score is noted at the
    beginning of both in the table of level k, and levels are then handed down by halves. So the cost does not depend
    on how long proposals are.
    """
    first_cells = np.cumsum([0, *(grid.num_cells for _, grid in clips)])
    bounds = [
        _bounds(proposals, grid) + first for (proposals, grid), first in zip(clips, first_cells[:-1], strict=True)
    ]
    first, last = np.concatenate([np.empty((0, 2), dtype=np.int64), *bounds]).T
    scores = np.concatenate([np.empty(0, dtype=np.float32), *(rows[:, 2].astype(np.float32) for rows, _ in clips)])
    covers = last > first
    first, last, scores = first[covers], last[covers], scores[covers]
    level = np.frexp(last - first)[1] - 1
    best = np.zeros(int(first_cells[-1]), dtype=np.float32)
    for power in range(int(level.max(initial=0)), -1, -1):
        if power < int(level.max(initial=0)):
            best = _handed_down(best, 1 << power)
        for starts, values in _runs(first, last, scores, level == power, 1 << power):
            np.maximum.at(best, starts, values)
    return best


def _bounds(proposals: NDArray[np.floating], grid: TimeGrid) -> NDArray[np.int64]:
    """(N, 2): first cell, and the one after the last, whose centres each proposal holds."""
    bounds = np.ceil(proposals[:, :2].astype(np.float64) / grid.hop_seconds - 0.5 - 1e-9)
    return np.clip(bounds, 0, grid.num_cells).astype(np.int64)


def _runs(
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    scores: NDArray[np.float32],
    chosen: NDArray[np.bool_],
    length: int,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Where the two runs of the chosen proposals begin, with their scores."""
    yield first[chosen], scores[chosen]
    yield last[chosen] - length, scores[chosen]


def _handed_down(best: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """From runs of 2 * length cells to the two runs of length cells in each."""
    down = best.copy()
    np.maximum(down[length:], best[: len(best) - length], out=down[length:])
    return down
