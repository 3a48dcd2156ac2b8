"""Hard and soft suppression of overlapping proposals, in plain NumPy and for many clips at once.

Soft-NMS is Bodla et al. 2017; its width-dependent rule is BSN's (Lin et al. 2018), which LAV-DF also uses.
Greedy suppression is sequential in proposals, so the loop runs over picks and every step works on all clips.
Shapes: B clips, N proposals of a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import Proposals

SoftMethod = Literal["gaussian", "width"]
Decay = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""(tiou of the pick with every proposal (B, N), length of the pick in seconds (B, 1)) -> factors (B, N)"""

_GONE = -1.0
"""score of what was taken or dropped; scores themselves are not negative"""


def soft_nms(
    proposals: NDArray[np.floating],
    *,
    sigma: float = 0.5,
    min_score: float = 0.001,
    max_proposals: int | None = None,
    method: SoftMethod = "gaussian",
    width_tiou: tuple[float, float] = (0.1968, 0.4123),
) -> Proposals:
    """One clip's proposals, (N, 3), with the scores of overlapping ones decayed; (M, 3) by falling score.

    `gaussian` multiplies by exp(-tiou^2 / sigma). `width` does so only where the tiou exceeds
    t1 + (t2 - t1) * length of the pick in seconds, with (t1, t2) = width_tiou (LAV-DF uses sigma 0.7234 with it).
    Proposals whose score falls below min_score are dropped. Raises ValueError for numbers that are not finite.
    """
    return soft_nms_clips(
        [proposals],
        sigma=sigma,
        min_score=min_score,
        max_proposals=max_proposals,
        method=method,
        width_tiou=width_tiou,
    )[0]


def hard_nms(
    proposals: NDArray[np.floating], *, tiou: float = 0.5, min_score: float = 0.0, max_proposals: int | None = None
) -> Proposals:
    """One clip's proposals, (N, 3), without those that overlap a better one by more than tiou; (M, 3)."""
    return hard_nms_clips([proposals], tiou=tiou, min_score=min_score, max_proposals=max_proposals)[0]


def soft_nms_clips(
    clips: Sequence[NDArray[np.floating]],
    *,
    sigma: float = 0.5,
    min_score: float = 0.001,
    max_proposals: int | None = None,
    method: SoftMethod = "gaussian",
    width_tiou: tuple[float, float] = (0.1968, 0.4123),
) -> list[Proposals]:
    """`soft_nms` of many clips in one sweep, each as if it were alone."""
    if not sigma > 0.0:
        raise ValueError(f"soft-NMS needs a positive sigma, got {sigma}; a large sigma suppresses little")
    decay = gaussian_decay(sigma) if method == "gaussian" else _width_dependent(sigma, *width_tiou)
    return suppress(clips, decay, min_score=min_score, max_proposals=max_proposals)


def hard_nms_clips(
    clips: Sequence[NDArray[np.floating]],
    *,
    tiou: float = 0.5,
    min_score: float = 0.0,
    max_proposals: int | None = None,
) -> list[Proposals]:
    """`hard_nms` of many clips in one sweep, each as if it were alone."""
    if not 0.0 <= tiou <= 1.0:
        raise ValueError(f"a tiou lies in [0, 1], got {tiou}")

    def drop(overlap: NDArray[np.float64], _: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(overlap > tiou, 0.0, 1.0)

    return suppress(clips, drop, min_score=min_score, max_proposals=max_proposals)


def suppress(
    clips: Sequence[NDArray[np.floating]],
    decay: Decay,
    *,
    min_score: float,
    max_proposals: int | None,
    groups: Sequence[NDArray[np.integer]] | None = None,
) -> list[Proposals]:
    """Greedy suppression of every clip: take the best, multiply the others' scores by `decay`, repeat.

    A factor of 0 drops a proposal. With groups (one (N,) array per clip), only proposals of another group
    than the pick's are touched: suppression across streams but not within one. Equal scores keep their order.
    """
    min_score = max(min_score, 0.0)
    starts, ends, scores = _padded(clips)
    wide_groups = None if groups is None else _padded_groups(groups, scores.shape)
    rows = np.arange(len(scores))
    num_picks = scores.shape[1] if max_proposals is None else min(max_proposals, scores.shape[1])
    picks = np.full((len(scores), num_picks, 3), _GONE)
    for step in range(num_picks):
        best = scores.argmax(axis=1)
        start, end, score = starts[rows, best], ends[rows, best], scores[rows, best]
        if not (score >= min_score).any():
            break
        picks[:, step] = np.stack([start, end, score], axis=1)
        length = np.maximum(end - start, 0.0)[:, None]
        factors = decay(_tiou_with(start, end, starts, ends), length)
        if wide_groups is not None:
            factors = np.where(wide_groups == wide_groups[rows, best][:, None], 1.0, factors)
        scores = np.where(factors > 0.0, scores * factors, _GONE)
        scores[rows, best] = _GONE
    return [clip[clip[:, 2] >= min_score].astype(np.float32) for clip in picks]


def gaussian_decay(sigma: float) -> Decay:
    """exp(-tiou^2 / sigma): the Gaussian soft-NMS rule."""
    return lambda overlap, _: np.exp(-(overlap**2) / sigma)


def _width_dependent(sigma: float, t_1: float, t_2: float) -> Decay:
    def decay(overlap: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(overlap > t_1 + (t_2 - t_1) * length, np.exp(-(overlap**2) / sigma), 1.0)

    return decay


def _tiou_with(
    start: NDArray[np.float64], end: NDArray[np.float64], starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(B, N): tiou of one segment of each clip with all segments of that clip; 0 where both are empty."""
    overlap = np.maximum(np.minimum(end[:, None], ends) - np.maximum(start[:, None], starts), 0.0)
    union = np.maximum(end - start, 0.0)[:, None] + np.maximum(ends - starts, 0.0) - overlap
    tiou: NDArray[np.float64] = overlap / np.where(union > 0.0, union, 1.0)
    return tiou


def _padded(
    clips: Sequence[NDArray[np.floating]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Starts, ends and scores, (B, N) each; padding is gone from the start."""
    arrays = [np.asarray(clip, dtype=np.float64).reshape(-1, 3) for clip in clips]
    longest = max((len(array) for array in arrays), default=0)
    padded = np.zeros((len(arrays), longest, 3))
    padded[:, :, 2] = _GONE
    for row, array in zip(padded, arrays, strict=True):
        if not np.isfinite(array).all():
            raise ValueError("proposals hold numbers that are not finite; find out where the model diverged")
        if (array[:, 2] < 0.0).any():
            raise ValueError(f"scores lie in [0, 1], got {array[:, 2].min():.3g}; apply a sigmoid to logits first")
        row[: len(array)] = array
    return padded[:, :, 0], padded[:, :, 1], padded[:, :, 2].copy()


def _padded_groups(groups: Sequence[NDArray[np.integer]], shape: tuple[int, ...]) -> NDArray[np.int64]:
    padded = np.full(shape, -1, dtype=np.int64)
    for row, group in zip(padded, groups, strict=True):
        row[: len(group)] = group
    return padded
