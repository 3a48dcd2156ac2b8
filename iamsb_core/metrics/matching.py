"""Which proposal hits which truth: sparse candidate pairs, and one-to-one matching at a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.packed import Packed
from iamsb_core.metrics.protocols import Protocol
from iamsb_core.metrics.tiou import tiou

_PAIRS_AT_ONCE = 1 << 19
"""bounds the memory of the pair arrays whatever the number of clips, and keeps them in the cache"""


@dataclass(frozen=True)
class Candidates:
    """Pairs of a truth and a proposal of the same clip, by truth and then by position in the clip's list."""

    truth: NDArray[np.int64]
    """(K,) index into Packed.truths"""
    proposal: NDArray[np.int64]
    """(K,) index into Packed.proposals"""
    position: NDArray[np.int64]
    """(K,) place of the proposal in its clip's list, from 0"""
    tiou: NDArray[np.floating]
    """(K,)"""

    def hitting(self, threshold: float, *, strict: bool) -> Candidates:
        """Those at the threshold, compared in the precision of the tiou."""
        limit = self.tiou.dtype.type(threshold)
        mask = self.tiou > limit if strict else self.tiou >= limit
        return Candidates(self.truth[mask], self.proposal[mask], self.position[mask], self.tiou[mask])


def candidates(packed: Packed, protocol: Protocol) -> Candidates:
    """The pairs that reach the protocol's lowest threshold."""
    lowest = min(*protocol.ap_tious, *protocol.ar_tious)
    dtype: type[np.floating] = np.float32 if protocol.float32 else np.float64
    segments = packed.proposals[:, :2].astype(dtype)
    truths = packed.truths.astype(dtype)
    found = [_empty(dtype)]
    for truth, first, counts in _blocks(packed):
        pair_truth = np.repeat(truth, counts)
        position = np.arange(len(pair_truth)) - np.repeat(np.cumsum(counts) - counts, counts)
        proposal = np.repeat(first, counts) + position
        overlap = tiou(truths[pair_truth], segments[proposal], overlap=protocol.overlap)
        found.append(Candidates(pair_truth, proposal, position, overlap).hitting(lowest, strict=protocol.strict))
    return Candidates(
        truth=np.concatenate([c.truth for c in found]),
        proposal=np.concatenate([c.proposal for c in found]),
        position=np.concatenate([c.position for c in found]),
        tiou=np.concatenate([c.tiou for c in found]),
    )


def _empty(dtype: type[np.floating]) -> Candidates:
    none = np.empty(0, dtype=np.int64)
    return Candidates(none, none, none, np.empty(0, dtype=dtype))


def _blocks(packed: Packed) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Truths in runs of bounded numbers of pairs: (truth, first proposal, number of proposals) of each."""
    clip = packed.clip_of_truth()
    counts = np.diff(packed.proposal_offsets)[clip]
    first = packed.proposal_offsets[:-1][clip]
    block = np.cumsum(counts) // _PAIRS_AT_ONCE
    edges = np.concatenate([[0], np.flatnonzero(np.diff(block)) + 1, [len(clip)]])
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if stop > start:
            yield np.arange(start, stop), first[start:stop], counts[start:stop]


@dataclass(frozen=True)
class Matches:
    """Who was matched with whom at a threshold, one to one, by rising proposal. M matches."""

    proposal: NDArray[np.int64]
    """(M,) index into Packed.proposals"""
    truth: NDArray[np.int64]
    """(M,) index into Packed.truths"""


def matches_at(found: Candidates, packed: Packed, protocol: Protocol, threshold: float) -> Matches:
    """The protocol's matching at the threshold."""
    hits = found.hitting(threshold, strict=protocol.strict)
    if protocol.matching == "first":
        return _first_free(hits, packed)
    return _best_free(hits, packed)


def first_hits(found: Candidates, packed: Packed, protocol: Protocol, threshold: float) -> NDArray[np.int64]:
    """(T,): position of the first proposal that hits each truth; beyond every list where none does."""
    hits = found.hitting(threshold, strict=protocol.strict)
    positions = np.full(packed.num_truths, np.iinfo(np.int64).max)
    first = _first_of_runs(hits.truth)
    positions[hits.truth[first]] = hits.position[first]
    return positions


def _first_of_runs(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(K,): where a run of equal values begins."""
    first = np.ones(len(values), dtype=bool)
    first[1:] = values[1:] != values[:-1]
    return first


def _first_free(hits: Candidates, packed: Packed) -> Matches:
    """Every truth, in list order, takes the first proposal of its clip that is still free.

    Truths with the same place in their clips' lists go together, as they cannot compete.
    """
    place = (np.arange(packed.num_truths) - packed.truth_offsets[:-1][packed.clip_of_truth()])[hits.truth]
    taken = np.zeros(len(packed.proposals), dtype=bool)
    chosen: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(place.max(initial=-1) + 2))
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        turn = order[start:stop]
        free = turn[~taken[hits.proposal[turn]]]
        first = free[_first_of_runs(hits.truth[free])]
        taken[hits.proposal[first]] = True
        chosen.append(first)
    return _by_proposal(hits, np.concatenate(chosen))


def _by_proposal(pairs: Candidates, chosen: NDArray[np.int64]) -> Matches:
    order = chosen[np.argsort(pairs.proposal[chosen], kind="stable")]
    return Matches(pairs.proposal[order], pairs.truth[order])


def _best_free(hits: Candidates, packed: Packed) -> Matches:
    """Every proposal, by falling score, takes the free truth of its clip that it overlaps most (a tie: the first).

    Found as a stable matching: each proposal asks for its best truth, a truth keeps the better scored asker, the
    one it lets go asks for its next. As all truths rank proposals alike, the outcome is the greedy one.
    """
    order = np.lexsort((hits.truth, -hits.tiou, hits.proposal))
    truth, proposal = hits.truth[order], hits.proposal[order]
    asking = np.flatnonzero(_first_of_runs(proposal))
    """index of the pair that each unmatched proposal asks for next; within a clip, order is by falling score"""
    holder = np.full(packed.num_truths, -1, dtype=np.int64)
    while len(asking):
        held = holder[truth[asking]]
        contenders = np.concatenate([asking, held[held >= 0]])
        contenders = contenders[np.lexsort((contenders, truth[contenders]))]
        best = _first_of_runs(truth[contenders])
        holder[truth[contenders[best]]] = contenders[best]
        rejected = np.unique(contenders[~best])
        rejected = rejected[holder[truth[rejected]] != rejected] + 1
        inside = rejected[rejected < len(proposal)]
        asking = inside[proposal[inside] == proposal[inside - 1]]
    chosen = holder[holder >= 0]
    chosen = chosen[np.argsort(proposal[chosen], kind="stable")]
    return Matches(proposal[chosen], truth[chosen])
