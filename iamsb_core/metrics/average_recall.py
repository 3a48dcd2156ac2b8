"""Average recall of the first N proposals of each clip, over the protocol's thresholds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.matching import Candidates, first_hits
from iamsb_core.metrics.packed import Packed
from iamsb_core.metrics.protocols import Protocol

_LONGEST_LIST = 100
"""ActivityNet cuts lists to a mean of 100 proposals a video before it looks at smaller numbers"""


def average_recall(packed: Packed, found: Candidates, protocol: Protocol) -> dict[str, float | None]:
    """AR by number of proposals (keys such as "100"), in [0, 1]; None where there is no truth to find."""
    every = np.ones(packed.num_truths, dtype=bool)
    return recall_by_count(packed, hit_positions(packed, found, protocol), protocol, every)


def recall_by_count(
    packed: Packed, hits: NDArray[np.int64], protocol: Protocol, wanted: NDArray[np.bool_]
) -> dict[str, float | None]:
    """The recall of the wanted truths, (T,), by number of proposals, averaged over thresholds; hits is (thresholds, T).

    None where no truth is wanted.
    """
    if not wanted.any():
        return {str(count): None for count in protocol.ar_counts}
    hits, clip = hits[:, wanted], packed.clip_of_truth()[wanted]
    return {
        str(count): float((hits < list_limits(packed, protocol, count)[clip]).mean(axis=1).mean())
        for count in protocol.ar_counts
    }


def hit_positions(packed: Packed, found: Candidates, protocol: Protocol) -> NDArray[np.int64]:
    """(thresholds, T): position of the first proposal that hits each truth; beyond every list where none does."""
    return np.stack([first_hits(found, packed, protocol, threshold) for threshold in protocol.ar_tious])


def list_limits(packed: Packed, protocol: Protocol, count: int) -> NDArray[np.int64]:
    """(C,): how many proposals of each clip AR@count looks at.

    Where the protocol averages counts (ActivityNet), every forged clip gives the same share of its list, so that the
    mean over forged clips is `count`. The lists are first cut to a mean of 100, and that cut is reckoned over the
    proposals of genuine clips too, which understates AR where those are predicted. Rounding down is theirs.
    """
    if not protocol.average_counts:
        return np.full(packed.num_clips, count, dtype=np.int64)
    forged = np.diff(packed.truth_offsets) > 0
    lengths = np.diff(packed.proposal_offsets)
    if lengths[forged].sum() == 0:
        return np.zeros(packed.num_clips, dtype=np.int64)
    cut = np.minimum((lengths * (_LONGEST_LIST * forged.sum() / lengths.sum())).astype(np.int64), lengths)
    # no proposal is left where the genuine clips' lists are far longer than the forged ones'
    total = max(int(cut[forged].sum()), 1)
    share = count / _LONGEST_LIST * (_LONGEST_LIST * forged.sum() / total)
    limits: NDArray[np.int64] = np.minimum((cut * share).astype(np.int64), cut)
    return limits
