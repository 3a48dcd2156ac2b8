"""What both streams say together: one list of proposals for the clip out of two.

Truth of the clip is the union of both streams' forged segments, so a proposal of either stream counts, and two
proposals for the same stretch, one of each stream, must not be counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.nms import gaussian_decay, suppress
from iamsb_core.localization.proposals import Proposals


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
