"""Truth and proposals of many clips in flat arrays, which is what the metrics work on.

Shapes: C clips, T truths of all clips, P proposals of all clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy, refused

FloatT = TypeVar("FloatT", bound=np.floating)


@dataclass(frozen=True)
class Packed:
    """Clips one after the other; the proposals of each by falling score, or as the file has them."""

    proposals: NDArray[np.float32]
    """(P, 3): start seconds, end seconds, score"""
    proposal_offsets: NDArray[np.int64]
    """(C + 1,): clip c owns proposals[offsets[c] : offsets[c + 1]]"""
    truths: NDArray[np.float64]
    """(T, 2) seconds"""
    truth_offsets: NDArray[np.int64]
    """(C + 1,)"""
    warnings: tuple[str, ...] = ()

    @property
    def num_clips(self) -> int:
        return len(self.truth_offsets) - 1

    @property
    def num_truths(self) -> int:
        return len(self.truths)

    def clip_of_truth(self) -> NDArray[np.int64]:
        """(T,)"""
        return np.repeat(np.arange(self.num_clips), np.diff(self.truth_offsets))

    def clip_of_proposal(self) -> NDArray[np.int64]:
        """(P,)"""
        return np.repeat(np.arange(self.num_clips), np.diff(self.proposal_offsets))


def pack(
    truths: Sequence[NDArray[np.floating]],
    proposals: Sequence[NDArray[np.floating]],
    policy: Policy = DEFAULT_POLICY,
) -> Packed:
    """One (K, 2) and one (N, 3) array a clip, in the same order.

    What is wrong with a list is mended as the policy says, and told in `warnings`. Raises ValueError where the policy
    refuses it, or where the two do not pair.
    """
    if len(truths) != len(proposals):
        raise ValueError(f"{len(truths)} clips of truth and {len(proposals)} of proposals do not pair")
    scored, counts = _flat(proposals, np.float32, 3)
    flat_truths, truth_counts = _flat(truths, np.float64, 2)
    scored, counts, warnings = mended(scored, counts, policy)
    return Packed(scored, _offsets(counts), flat_truths, _offsets(truth_counts), warnings)


def mended(
    scored: NDArray[np.float32], counts: NDArray[np.int64], policy: Policy = DEFAULT_POLICY
) -> tuple[NDArray[np.float32], NDArray[np.int64], tuple[str, ...]]:
    """Proposals (P, 3) of clips that have `counts` (C,) of them, as the policy wants them, and what was done for it.

    Raises ValueError where the policy refuses what it finds.
    """
    warnings: list[str] = []
    scored, counts = _finite(scored, counts, policy, warnings)
    scored, counts = _forward(scored, counts, policy, warnings)
    scored = _ordered(scored, counts, policy, warnings)
    if num := int((scored[:, 1] == scored[:, 0]).sum()):
        warnings.append(f"{num} proposals have no length; they count as false positives")
    return scored, counts, tuple(warnings)


def _flat(
    lists: Sequence[NDArray[np.floating]], dtype: type[FloatT], width: int
) -> tuple[NDArray[FloatT], NDArray[np.int64]]:
    """The rows of all clips, and how many each has."""
    arrays = [np.asarray(item, dtype=dtype).reshape(-1, width) for item in lists]
    counts = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
    return np.concatenate([*arrays, np.empty((0, width), dtype=dtype)]), counts


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _kept(
    scored: NDArray[np.float32], counts: NDArray[np.int64], kept: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The proposals kept, and how many each clip has left."""
    left = np.add.reduceat(np.append(kept, False), np.minimum(_offsets(counts)[:-1], len(kept)), dtype=np.int64)
    return scored[kept], np.where(counts > 0, left, 0)


def _finite(
    scored: NDArray[np.float32], counts: NDArray[np.int64], policy: Policy, warnings: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    fine: NDArray[np.bool_] = np.isfinite(scored).min(axis=1, initial=True)
    if fine.all():
        return scored, counts
    what = f"{int((~fine).sum())} proposals hold NaN or an infinity"
    if policy.not_finite == "refuse":
        raise refused(what, "not_finite")
    warnings.append(f"{what}; they were left out")
    return _kept(scored, counts, fine)


def _forward(
    scored: NDArray[np.float32], counts: NDArray[np.int64], policy: Policy, warnings: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    inverted = scored[:, 1] < scored[:, 0]
    if not inverted.any():
        return scored, counts
    what = f"{int(inverted.sum())} proposals end before they start"
    if policy.inverted == "refuse":
        raise refused(what, "inverted")
    if policy.inverted == "count":
        warnings.append(f"{what}; they count as false positives")
        return scored, counts
    if policy.inverted == "leave-out":
        warnings.append(f"{what}; they were left out")
        return _kept(scored, counts, ~inverted)
    warnings.append(f"{what}; their ends were exchanged")
    return np.where(inverted[:, None], scored[:, [1, 0, 2]], scored), counts


def _ordered(
    scored: NDArray[np.float32], counts: NDArray[np.int64], policy: Policy, warnings: list[str]
) -> NDArray[np.float32]:
    clip = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    rises = (np.diff(scored[:, 2]) > 0) & (clip[1:] == clip[:-1])
    if not rises.any():
        return scored
    what = f"the lists of {len(np.unique(clip[1:][rises]))} clips were not by falling score"
    if policy.unsorted == "refuse":
        raise refused(what, "unsorted")
    if policy.unsorted == "as-is":
        warnings.append(f"{what}; they were read as they are, as the official evaluators do")
        return scored
    warnings.append(f"{what}; they were sorted here, but an evaluator that reads them as they are gives another number")
    return scored[np.lexsort((-scored[:, 2], clip))]
