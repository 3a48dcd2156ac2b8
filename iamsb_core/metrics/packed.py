"""Truth and proposals of many clips in flat arrays, which is what the metrics work on.

Shapes: C clips, T truths of all clips, P proposals of all clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatT = TypeVar("FloatT", bound=np.floating)


@dataclass(frozen=True)
class Packed:
    """Clips one after the other; the proposals of each by falling score."""

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


def pack(truths: Sequence[NDArray[np.floating]], proposals: Sequence[NDArray[np.floating]]) -> Packed:
    """One (K, 2) and one (N, 3) array a clip, in the same order. What is wrong with a list is mended and told.

    Policies: a proposal with a number that is not finite is left out; a list that is not sorted by score is sorted
    (stable; the official evaluators read lists as they come); one that ends before it starts, or has no length,
    stays and can only be a false positive.
    """
    if len(truths) != len(proposals):
        raise ValueError(f"{len(truths)} clips of truth and {len(proposals)} of proposals do not pair")
    scored, counts = _flat(proposals, np.float32, 3)
    flat_truths, truth_counts = _flat(truths, np.float64, 2)
    warnings: list[str] = []
    scored, counts = _finite(scored, counts, warnings)
    scored = _sorted(scored, counts, warnings)
    if num := int((scored[:, 1] <= scored[:, 0]).sum()):
        warnings.append(f"{num} proposals end before they start or have no length; they count as false positives")
    return Packed(scored, _offsets(counts), flat_truths, _offsets(truth_counts), tuple(warnings))


def _flat(
    lists: Sequence[NDArray[np.floating]], dtype: type[FloatT], width: int
) -> tuple[NDArray[FloatT], NDArray[np.int64]]:
    """The rows of all clips, and how many each has."""
    arrays = [np.asarray(item, dtype=dtype).reshape(-1, width) for item in lists]
    counts = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
    return np.concatenate([*arrays, np.empty((0, width), dtype=dtype)]), counts


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _finite(
    scored: NDArray[np.float32], counts: NDArray[np.int64], warnings: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    fine: NDArray[np.bool_] = np.isfinite(scored).min(axis=1, initial=True)
    if fine.all():
        return scored, counts
    warnings.append(f"{int((~fine).sum())} proposals hold NaN or an infinity; they were left out")
    kept = np.add.reduceat(np.append(fine, False), np.minimum(_offsets(counts)[:-1], len(fine)), dtype=np.int64)
    return scored[fine], np.where(counts > 0, kept, 0)


def _sorted(scored: NDArray[np.float32], counts: NDArray[np.int64], warnings: list[str]) -> NDArray[np.float32]:
    clip = np.repeat(np.arange(len(counts)), counts)
    rises = (np.diff(scored[:, 2]) > 0) & (clip[1:] == clip[:-1])
    if not rises.any():
        return scored
    num = len(np.unique(clip[1:][rises]))
    warnings.append(
        f"the lists of {num} clips were not by falling score; they were sorted here, "
        "but an evaluator that reads them as they are gives another number"
    )
    return scored[np.lexsort((-scored[:, 2], clip))]
