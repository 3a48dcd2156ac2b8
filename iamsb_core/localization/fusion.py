"""What both streams say together: one list of proposals for the clip out of two.

Truth of the clip is the union of both streams' forged segments, so a proposal of either stream counts, and two
proposals for the same stretch, one of each stream, must not be counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.nms import gaussian_decay, suppress
from iamsb_core.localization.proposals import Proposals, sorted_proposals


def fuse_union(
    audio: NDArray[np.floating],
    visual: NDArray[np.floating],
    *,
    sigma: float = 0.5,
    min_score: float = 0.0,
    max_proposals: int | None = None,
) -> Proposals:
    """Both lists, (N, 3) and (M, 3), as one, by falling score.

    A proposal decays those of the *other* stream that it overlaps, by exp(-tiou^2 / sigma); proposals of one
    stream have had their own suppression already and do not touch each other here.
    """
    return fuse_union_clips([audio], [visual], sigma=sigma, min_score=min_score, max_proposals=max_proposals)[0]


def fuse_union_clips(
    audio: Sequence[NDArray[np.floating]],
    visual: Sequence[NDArray[np.floating]],
    *,
    sigma: float = 0.5,
    min_score: float = 0.0,
    max_proposals: int | None = None,
) -> list[Proposals]:
    """`fuse_union` of many clips in one sweep, each as if it were alone."""
    pairs = [[np.reshape(part, (-1, 3)) for part in pair] for pair in zip(audio, visual, strict=True)]
    groups = [np.repeat([0, 1], [len(part) for part in pair]) for pair in pairs]
    clips = [np.concatenate(pair) for pair in pairs]
    return suppress(clips, gaussian_decay(sigma), min_score=min_score, max_proposals=max_proposals, groups=groups)


def fuse_elementary(
    audio: NDArray[np.floating],
    visual: NDArray[np.floating],
    *,
    similar_score: float = 0.1,
    min_score: float = 0.05,
    min_length_seconds: float = 0.02,
    max_proposals: int | None = None,
) -> Proposals:
    """The elementary fusion of Li et al. (DDL challenge, track 2), (M, 3) by falling score.

    Cut the time line at every boundary of both streams, give every piece the larger score of the proposals that
    cover it, then join neighbours whose scores differ by similar_score at most (a joined run has the mean over
    time). It joins an audio and a visual segment that overlap, which a union cannot; it gives few proposals,
    disjoint ones, so it serves a verdict better than AR@100. Proposals under min_score are left out before.
    """
    both = np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1, 3) for part in (audio, visual)])
    both = both[(both[:, 2] >= min_score) & (both[:, 1] > both[:, 0])]
    if len(both) == 0:
        return sorted_proposals(np.empty((0, 3)))
    cuts = np.unique(both[:, :2])
    centres = (cuts[:-1] + cuts[1:]) / 2
    covers = (both[:, :1] <= centres) & (centres < both[:, 1:2])
    scores = np.where(covers, both[:, 2:], 0.0).max(axis=0)
    joined = _join_similar(cuts, scores, similar_score)
    joined = joined[(joined[:, 2] >= min_score) & (joined[:, 1] - joined[:, 0] >= min_length_seconds)]
    return sorted_proposals(joined)[:max_proposals]


def _join_similar(cuts: NDArray[np.float64], scores: NDArray[np.float64], similar: float) -> NDArray[np.float64]:
    """Runs of pieces of similar score, (M, 3); a piece that nothing covers ends a run."""
    runs: list[list[float]] = []
    for start, end, score in zip(cuts[:-1].tolist(), cuts[1:].tolist(), scores.tolist(), strict=True):
        if score <= 0.0:
            continue
        last = runs[-1] if runs else None
        if last is not None and last[1] == start and abs(last[2] - score) <= similar:
            mean = (last[2] * (last[1] - last[0]) + score * (end - start)) / (end - last[0])
            runs[-1] = [last[0], end, mean]
        else:
            runs.append([start, end, score])
    return np.asarray(runs, dtype=np.float64).reshape(-1, 3)
