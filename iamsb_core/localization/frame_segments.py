"""Segments out of frame scores: runs above many thresholds, for systems that only say how forged each cell is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import Proposals, sorted_proposals

LEVELS = tuple(round(0.05 * step, 2) for step in range(2, 20))


def frame_segments(
    scores: NDArray[np.floating], hop_seconds: float, duration_seconds: float, levels: Sequence[float] = LEVELS
) -> Proposals:
    """Candidate segments of one clip's cell scores, (L,) in [0, 1]; (N, 3) by falling score, not yet suppressed.

    For every level, each maximal run of cells at or above it is a candidate. Its boundaries lie where the line between
    the centres of two neighbouring cells crosses the level, or at the clip's end. Its score is the run's mean times
    1 - the mean of the cells beside it, over half its length on either side: a run that ends in a slope could as well
    end elsewhere. The same cells at several levels give the candidate of each.
    """
    values = np.asarray(scores, dtype=np.float64)
    found = [run for level in levels for run in _runs(values, level)]
    if not found:
        return sorted_proposals(np.empty((0, 3)))
    table = np.array([(*_boundaries(values, *run), _contrast(values, *run[:2])) for run in found])
    table[:, :2] = np.clip(table[:, :2] * hop_seconds, 0.0, duration_seconds)
    return sorted_proposals(table[table[:, 1] > table[:, 0]])


def _runs(values: NDArray[np.float64], level: float) -> list[tuple[int, int, float]]:
    """(first cell, cell after the last, level) of every run."""
    above = np.concatenate([[0], (values >= level).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(above))
    return [(int(first), int(stop), level) for first, stop in zip(edges[::2], edges[1::2], strict=True)]


def _boundaries(values: NDArray[np.float64], first: int, stop: int, level: float) -> tuple[float, float]:
    """In cells; cell i has its centre at i + 0.5."""
    start = 0.0 if first == 0 else first - 0.5 + _crossing(values[first - 1], values[first], level)
    end = float(stop) if stop == len(values) else stop + 0.5 - _crossing(values[stop], values[stop - 1], level)
    return start, end


def _crossing(below: float, above: float, level: float) -> float:
    """Share of the way from the lower to the higher cell's centre at which the level is met."""
    return float((level - below) / (above - below))


def _contrast(values: NDArray[np.float64], first: int, stop: int) -> float:
    reach = max(1, (stop - first + 1) // 2)
    beside = np.concatenate([values[max(0, first - reach) : first], values[stop : stop + reach]])
    outside = float(beside.mean()) if len(beside) else 0.0
    return float(values[first:stop].mean()) * (1.0 - outside)
