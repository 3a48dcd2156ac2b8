"""Truth and predictions brought together, clip by clip, for one stream or for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.metrics.labels import ClipTruth

_NO_PROPOSALS = np.empty((0, 3), dtype=np.float32)
_NO_TRUTH = np.empty((0, 2))


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
    """(K, 2) each; none of a clip that is labelled as a whole"""
    proposals: Sequence[NDArray[np.float32]]
    """(N, 3) each; none in a clip that is labelled as a whole, where nobody knows which of them are right"""
    forged: NDArray[np.bool_]
    """(C,)"""
    clip_scores: NDArray[np.float64]
    """(C,): how forged each clip is said to be"""
    has_segments: bool
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
    lists = [_NO_PROPOSALS if prediction is None else prediction.of(modality) for prediction in found]
    truths = [clip.of(modality) for clip in clips]
    if modality is None:
        scores = [0.0 if prediction is None else prediction.clip_score for prediction in found]
    else:
        scores = [best_score(proposals) for proposals in lists]
    whole = [clip.is_whole_clip for clip in clips]
    return ClipLists(
        clips=clips,
        truths=[_NO_TRUTH if w else truth for truth, w in zip(truths, whole, strict=True)],
        proposals=[_NO_PROPOSALS if w else proposals for proposals, w in zip(lists, whole, strict=True)],
        forged=np.fromiter((len(truth) > 0 for truth in truths), dtype=bool, count=len(truths)),
        clip_scores=np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0),
        has_segments=contents.segments and not all(whole),
        has_clip_scores=contents.clip_scores if modality is None else contents.segments,
    )


def best_score(proposals: NDArray[np.floating]) -> float:
    """The best score of a list, in whatever order it is and whether or not some are NaN; 0 where there is none."""
    return float(np.fmax.reduce(proposals[:, 2], initial=0.0))
