"""Truth and predictions brought together, clip by clip, for one stream or for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.metrics.labels import ClipTruth

_NONE = np.empty((0, 3), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Which parts of the predictions mean anything; what is left out is reported as None, not as a bad score."""

    segments: bool = True
    streams: bool = True
    clip_scores: bool = True


EVERYTHING = Contents()


@dataclass(frozen=True, kw_only=True)
class ClipLists:
    """The clips of one measurement with what is said of them, in the same order."""

    clips: Sequence[ClipTruth]
    truths: Sequence[NDArray[np.float64]]
    """(K, 2) each"""
    proposals: Sequence[NDArray[np.float32]]
    """(N, 3) each"""
    clip_scores: NDArray[np.float64]
    """(C,): how forged each clip is said to be"""
    has_clip_scores: bool


def clip_lists(
    clips: Sequence[ClipTruth],
    predictions: Mapping[str, ClipProposals],
    modality: Modality | None,
    contents: Contents,
) -> ClipLists:
    """What the predictions say of one stream, or of both together.

    A stream of a clip is as forged as its best proposal says. A clip without a prediction has no proposals and a
    score of 0; a score that is NaN counts as 0 too.
    """
    found = [predictions.get(clip.video_id) for clip in clips]
    lists = [_NONE if prediction is None else prediction.of(modality) for prediction in found]
    if modality is None:
        scores = [0.0 if prediction is None else prediction.clip_score for prediction in found]
    else:
        scores = [float(np.nan_to_num(proposals[:, 2]).max(initial=0.0)) for proposals in lists]
    return ClipLists(
        clips=clips,
        truths=[clip.of(modality) for clip in clips],
        proposals=lists,
        clip_scores=np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0),
        has_clip_scores=contents.clip_scores if modality is None else contents.segments,
    )
