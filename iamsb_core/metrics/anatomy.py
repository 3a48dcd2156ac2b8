"""What is wrong with the segments that a report would show: missed, doubled, false, and how far off their ends are.

AP says how good a ranking is; this says what an analyst meets at one threshold, chosen on another split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.nms import hard_nms
from iamsb_core.localization.proposals import ClipProposals, Proposals
from iamsb_core.manifest import Modality
from iamsb_core.metrics.labels import ClipTruth
from iamsb_core.metrics.operating_point import FOUND_TIOU, matches
from iamsb_core.metrics.tiou import pairwise_tiou

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class BoundaryErrors:
    """How far found starts and ends lie from the true ones."""

    num_boundaries: int
    median_seconds: float
    ninety_percent_seconds: float
    """nine of ten are nearer"""
    signed_mean_seconds: float
    """above 0: found segments reach too far out"""


@dataclass(frozen=True, kw_only=True)
class ErrorAnatomy:
    """The shown segments of one stream, or of both fused, against the truth."""

    threshold: float
    num_truths: int
    num_found: int
    """true segments that a shown one meets at a tiou of 0.5"""
    num_duplicates: int
    """shown segments that meet one which a better one has"""
    num_false: int
    """shown segments that meet none, in forged and genuine clips"""
    boundaries: BoundaryErrors | None
    """of the found ones; None where nothing was found"""
    false_alarms_per_hour: float | None
    """segments shown in genuine clips, by hour of them; None where there are none"""

    @property
    def num_missed(self) -> int:
        return self.num_truths - self.num_found


def anatomy(
    clips: Sequence[ClipTruth],
    predictions: Mapping[str, ClipProposals],
    threshold: float,
    modality: Modality | None = None,
) -> ErrorAnatomy:
    """Errors of the proposals from the threshold on, of overlapping ones only the best, as a report shows them.

    A clip without a prediction counts as one in which nothing was found.
    """
    found = duplicates = false = truths = alarms = 0
    genuine_seconds, errors = 0.0, [np.empty((0, 2))]
    for clip in clips:
        truth, shown = clip.of(modality), _shown(predictions.get(clip.video_id), threshold, modality)
        met = matches(truth, shown)
        touches = (pairwise_tiou(shown[:, :2], truth) >= FOUND_TIOU).any(axis=1)
        truths += len(truth)
        found += int((met >= 0).sum())
        duplicates += int((touches & (met < 0)).sum())
        false += int((~touches).sum())
        errors.append(_outward(shown[met >= 0], truth[met[met >= 0]]))
        if not clip.is_forged:
            alarms += len(shown)
            genuine_seconds += _seconds(clip, predictions)
    return ErrorAnatomy(
        threshold=threshold,
        num_truths=truths,
        num_found=found,
        num_duplicates=duplicates,
        num_false=false,
        boundaries=_boundaries(np.concatenate(errors)),
        false_alarms_per_hour=alarms / genuine_seconds * _SECONDS_PER_HOUR if genuine_seconds else None,
    )


def _shown(clip: ClipProposals | None, threshold: float, modality: Modality | None) -> Proposals:
    proposals = np.empty((0, 3), dtype=np.float32) if clip is None else clip.of(modality)
    return hard_nms(proposals[proposals[:, 2] >= threshold])


def _outward(shown: NDArray[np.floating], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2): how much earlier it starts and how much later it ends than the truth."""
    return np.stack([truth[:, 0] - shown[:, 0], shown[:, 1] - truth[:, 1]], axis=1)


def _boundaries(outward: NDArray[np.float64]) -> BoundaryErrors | None:
    if not outward.size:
        return None
    off = np.abs(outward)
    return BoundaryErrors(
        num_boundaries=outward.size,
        median_seconds=float(np.median(off)),
        ninety_percent_seconds=float(np.quantile(off, 0.9)),
        signed_mean_seconds=float(outward.mean()),
    )


def _seconds(clip: ClipTruth, predictions: Mapping[str, ClipProposals]) -> float:
    if clip.duration_seconds is not None:
        return clip.duration_seconds
    return predictions[clip.video_id].duration_seconds if clip.video_id in predictions else 0.0
