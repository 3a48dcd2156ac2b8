"""From all proposals of a lane to what a reader can take in: cleaned lists, thinned segments, score curves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import sorted_proposals
from iamsb_core.metrics.calibration import LaneCalibration, ScoreMap
from iamsb_core.report.evidence import Lane, ReportedSegment, ScoreCurve, Thresholds
from iamsb_core.timeline import Segment, TimeGrid

MAX_CURVE_CELLS = 2000
FINEST_HOP_SECONDS = 0.02
_SCORE_SLACK = 1e-4
_TIME_DECIMALS = 4
_SCORE_DECIMALS = 6


def cleaned(proposals: NDArray[np.floating], duration_seconds: float) -> NDArray[np.float64]:
    """(N, 3) by falling score, times cut to the clip; rounded to 0.1 ms and 1e-6 so that the text stays readable.

    Raises ValueError for values that are not finite and for scores outside [0, 1].
    """
    array = sorted_proposals(proposals).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("a proposal holds a value that is not finite; the system's output cannot be reported")
    if array.size and not -_SCORE_SLACK <= array[:, 2].min() <= array[:, 2].max() <= 1.0 + _SCORE_SLACK:
        raise ValueError(f"scores must lie in [0, 1], got {array[:, 2].min()} to {array[:, 2].max()}; apply a sigmoid")
    times = np.clip(array[:, :2], 0.0, duration_seconds).round(_TIME_DECIMALS)
    scores = np.clip(array[:, 2:], 0.0, 1.0).round(_SCORE_DECIMALS)
    return np.concatenate([times, scores], axis=1)


def overlap_shares(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): overlap of one segment (2,) with others (N, 2), as a share of the shorter of each pair."""
    overlap = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    shorter = np.minimum(one[1] - one[0], others[:, 1] - others[:, 0])
    shares: NDArray[np.float64] = np.clip(overlap, 0.0, None) / np.maximum(shorter, 1e-9)
    return shares


def thinned(proposals: NDArray[np.float64], thresholds: Thresholds) -> NDArray[np.float64]:
    """The proposals worth showing, (M, 3) in order of time: hard non-maximum suppression on `overlap_shares`.

    The shorter of a pair is the measure, not temporal IoU, so that a fragment of a better segment is not shown
    inside it, however short it is.
    """
    left = proposals[(proposals[:, 2] >= thresholds.display) & (proposals[:, 1] > proposals[:, 0])]
    kept: list[NDArray[np.float64]] = []
    while len(left):
        kept.append(left[0])
        left = left[1:][overlap_shares(left[0], left[1:, :2]) <= thresholds.max_overlap]
    chosen = np.asarray(kept, dtype=np.float64).reshape(-1, 3)
    return chosen[np.lexsort((chosen[:, 1], chosen[:, 0]))]


def score_curve(proposals: NDArray[np.float64], duration_seconds: float) -> ScoreCurve:
    """Each cell's highest score: 20 ms cells, longer where the clip would need more than 2000 of them.

    A proposal that holds no cell's centre still marks the cell that its own centre lies in.
    """
    hop_seconds = max(FINEST_HOP_SECONDS, duration_seconds / MAX_CURVE_CELLS)
    grid = TimeGrid(hop_seconds, max(1, math.ceil(duration_seconds / hop_seconds - 1e-6)))
    scores = np.zeros(grid.num_cells)
    for start, end, score in proposals[proposals[:, 1] > proposals[:, 0]].tolist():
        cells = grid.cells(_at_least_one_cell(Segment(start, end), grid))
        scores[cells] = np.maximum(scores[cells], score)
    return ScoreCurve(hop_seconds=round(hop_seconds, 9), scores=tuple(scores.tolist()))


def _at_least_one_cell(segment: Segment, grid: TimeGrid) -> Segment:
    cells = grid.cells(segment)
    if cells.stop > cells.start:
        return segment
    first = (segment.start + segment.end - grid.hop_seconds) / 2.0
    first = min(max(first, 0.0), grid.duration_seconds - grid.hop_seconds)
    return Segment(first, first + grid.hop_seconds)


def stream_lane(
    proposals: NDArray[np.floating],
    duration_seconds: float,
    thresholds: Thresholds,
    stream: str,
    calibration: LaneCalibration | None = None,
) -> Lane:
    """The lane of one stream."""
    every = cleaned(proposals, duration_seconds)
    shown = thinned(every, thresholds)
    return _lane(every, shown, [(stream,)] * len(shown), duration_seconds, calibration)


def fused_lane(
    proposals: NDArray[np.floating],
    duration_seconds: float,
    thresholds: Thresholds,
    streams: dict[str, Lane],
    calibration: LaneCalibration | None = None,
) -> Lane:
    """The fused lane; each segment names the streams that speak for it."""
    every = cleaned(proposals, duration_seconds)
    shown = thinned(every, thresholds)
    speaking = [_speaking(row, thresholds, streams) for row in shown]
    return _lane(every, shown, speaking, duration_seconds, calibration)


def _speaking(row: NDArray[np.float64], thresholds: Thresholds, streams: dict[str, Lane]) -> tuple[str, ...]:
    """Streams with a shown-worthy proposal there; where none has one, the stream with the best score there."""
    best = {name: _best_score(row, lane, thresholds) for name, lane in streams.items()}
    speaking = tuple(name for name, score in best.items() if score >= thresholds.display and score > 0.0)
    if speaking or not any(best.values()):
        return speaking
    return (max(best, key=lambda name: best[name]),)


def _best_score(row: NDArray[np.float64], lane: Lane, thresholds: Thresholds) -> float:
    every = np.asarray(lane.proposals, dtype=np.float64).reshape(-1, 3)
    there = every[overlap_shares(row[:2], every[:, :2]) > thresholds.max_overlap, 2]
    return float(there.max(initial=0.0))


def _lane(
    every: NDArray[np.float64],
    shown: NDArray[np.float64],
    streams: list[tuple[str, ...]],
    duration_seconds: float,
    calibration: LaneCalibration | None,
) -> Lane:
    segments = tuple(
        _reported(row, names, duration_seconds, calibration) for row, names in zip(shown, streams, strict=True)
    )
    rows = tuple((start, end, score) for start, end, score in every.tolist())
    return Lane(segments=segments, proposals=rows, curve=score_curve(every, duration_seconds))


def _reported(
    row: NDArray[np.float64], streams: tuple[str, ...], duration_seconds: float, calibration: LaneCalibration | None
) -> ReportedSegment:
    start, end, score = row.tolist()
    segment = ReportedSegment(start_seconds=start, end_seconds=end, score=score, streams=streams)
    if calibration is None:
        return segment
    boundaries = calibration.boundaries
    return replace(
        segment,
        calibrated_score=calibrated(calibration.score_map, score),
        start_interval_seconds=_interval(start, boundaries.start_seconds, duration_seconds),
        end_interval_seconds=_interval(end, boundaries.end_seconds, duration_seconds),
    )


def calibrated(score_map: ScoreMap | None, score: float) -> float | None:
    """The score as a probability, rounded as scores are; None without a map."""
    return None if score_map is None else round(float(score_map(np.array([score]))[0]), _SCORE_DECIMALS)


def _interval(seconds: float, half_width: float | None, duration_seconds: float) -> tuple[float, float] | None:
    """Around an end of a segment, cut to the clip, where every true end lies."""
    if half_width is None:
        return None
    low, high = max(0.0, seconds - half_width), min(duration_seconds, seconds + half_width)
    return round(low, _TIME_DECIMALS), round(high, _TIME_DECIMALS)
