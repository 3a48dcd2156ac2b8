"""Average precision of scored segments: rank all proposals of all clips, mark the matched ones, take the area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.matching import Candidates, matches_at
from iamsb_core.metrics.packed import Packed
from iamsb_core.metrics.protocols import Area, Protocol

Ranks = dict[str, NDArray[np.int64]]
"""by threshold: the places, from 1 and rising, of the true positives in the list of all clips' proposals"""

_NUM_SUMS = 8


def average_precision(
    packed: Packed, found: Candidates, protocol: Protocol, *, area: Area | None = None
) -> dict[str, float | None]:
    """AP by threshold (keys such as "0.5"), in [0, 1]; None where there is no truth to find."""
    ranks = true_positive_ranks(packed, found, protocol)
    return areas(ranks, packed.num_truths, len(packed.proposals), protocol.area if area is None else area)


def true_positive_ranks(packed: Packed, found: Candidates, protocol: Protocol) -> Ranks:
    """Where the true positives stand: all that AP depends on."""
    matched = [matches_at(found, packed, protocol, threshold).proposal for threshold in protocol.ap_tious]
    ranks = global_ranks(ranking_scores(packed, protocol), matched)
    return {threshold_key(t): np.sort(rank) for t, rank in zip(protocol.ap_tious, ranks, strict=True)}


def ranking_scores(packed: Packed, protocol: Protocol) -> NDArray[np.float32]:
    """(P,): by what proposals are ranked; those in genuine clips come last where the protocol does not count them."""
    scores = packed.proposals[:, 2]
    if not protocol.forged_only:
        return scores
    forged = np.diff(packed.truth_offsets) > 0
    return np.where(forged[packed.clip_of_proposal()], scores, np.float32(-np.inf))


def areas(ranks: Ranks, num_truths: int, num_proposals: int, area: Area) -> dict[str, float | None]:
    """AP by threshold out of the ranks among num_proposals; None where there is no truth."""
    if num_truths == 0:
        return dict.fromkeys(ranks)
    if area == "full":
        return {key: _full_area(rank, num_truths) for key, rank in ranks.items()}
    return {key: _official_area(rank, num_truths, num_proposals) for key, rank in ranks.items()}


def threshold_key(threshold: float) -> str:
    """The name of a threshold in reports: "0.5", "0.75"."""
    return f"{threshold:g}"


def global_ranks(scores: NDArray[np.float32], chosen: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Places, from 1, of the chosen proposals in the list of all by falling score; equal scores keep their order.

    Score and index go into one integer, so that a plain sort is a stable one.
    """
    bits = (scores + np.float32(0.0)).view(np.uint32)
    rising = np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31))
    keys = ((~rising).astype(np.uint64) << np.uint64(32)) | np.arange(len(scores), dtype=np.uint64)
    ordered = np.sort(keys)
    return [np.searchsorted(ordered, keys[indices]).astype(np.int64) + 1 for indices in chosen]


def _full_area(ranks: NDArray[np.int64], num_truths: int) -> float:
    """Area under the interpolated curve; `ranks` are the places of the true positives, in order.

    Recall rises by 1 / truths at each true positive; precision falls between them, so its running maximum (from
    the right) is reached at one.
    """
    precision = np.arange(1, len(ranks) + 1) / ranks
    return float(np.maximum.accumulate(precision[::-1]).sum() / num_truths)


def _official_area(ranks: NDArray[np.int64], num_truths: int, num_proposals: int) -> float:
    """The same without the step from recall 0 to the curve's first point, and in float32 as the official code has it.

    That step has a width only where the very first proposal is a true positive. Of 700,000 truths float32 loses 2e-6,
    and how much depends on the order of summing: the published evaluator sums the curve, from its right end, in eight
    partial sums that take turns, and adds those up in pairs. Done likewise, the two agree to the last bit.
    """
    found = np.arange(1, len(ranks) + 1, dtype=np.float32)
    precision = found / ((ranks - 1).astype(np.float32) + np.float32(1))
    widths = np.diff(found / np.float32(num_truths), prepend=np.float32(0))
    parts = (np.maximum.accumulate(precision[::-1]) * widths[::-1]).astype(np.float32)
    places = (num_proposals + 1 - ranks)[::-1]
    if len(ranks) and ranks[0] == 1:
        parts, places = parts[:-1], places[:-1]
    in_turns = places < num_proposals - num_proposals % _NUM_SUMS
    sums = [_float32_sum(parts[in_turns & (places % _NUM_SUMS == turn)]) for turn in range(_NUM_SUMS)]
    pairs = np.array([sums[i] + sums[i + _NUM_SUMS // 2] for i in range(_NUM_SUMS // 2)], dtype=np.float32)
    return float(_float32_sum(np.concatenate([pairs, parts[~in_turns]])))


def _float32_sum(numbers: NDArray[np.float32]) -> np.float32:
    """One after the other, which NumPy's own sum is not."""
    return np.float32(np.add.accumulate(numbers, dtype=np.float32)[-1]) if len(numbers) else np.float32(0)
