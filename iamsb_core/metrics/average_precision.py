"""Average precision of scored segments: rank all proposals of all clips, mark the matched ones, take the area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.matching import Candidates, matches_at
from iamsb_core.metrics.packed import Packed
from iamsb_core.metrics.protocols import Area, Protocol

Ranks = dict[str, NDArray[np.int64]]
"""by threshold: the places, from 1 and rising, of the true positives in the list of all clips' proposals"""


def average_precision(
    packed: Packed, found: Candidates, protocol: Protocol, *, area: Area | None = None
) -> dict[str, float | None]:
    """AP by threshold (keys such as "0.5"), in [0, 1]; None where there is no truth to find."""
    area = protocol.area if area is None else area
    return areas(true_positive_ranks(packed, found, protocol), packed.num_truths, area)


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


def areas(ranks: Ranks, num_truths: int, area: Area) -> dict[str, float | None]:
    """AP by threshold out of the ranks; None where there is no truth."""
    return {key: _area(rank, num_truths, area) if num_truths else None for key, rank in ranks.items()}


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


def _area(ranks: NDArray[np.int64], num_truths: int, area: Area) -> float:
    """Area under the interpolated curve; `ranks` are the places of the true positives, in order.

    Recall rises by 1 / truths at each true positive; precision falls between them, so its running maximum (from
    the right) is reached at one. `official` leaves out the step from recall 0 to the curve's first point, which has
    a width only where the very first proposal is a true positive. The official code adds up in float32; float64
    here agrees with it to 1e-6.
    """
    precision = np.arange(1, len(ranks) + 1) / ranks
    heights = np.maximum.accumulate(precision[::-1])
    if area == "official" and len(ranks) and ranks[0] == 1:
        heights = heights[:-1]
    return float(heights.sum() / num_truths)
