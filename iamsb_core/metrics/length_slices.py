"""AP and AR of short and of long segments: slices of the truth itself, not of clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.average_precision import areas, ranking_scores, threshold_key
from iamsb_core.metrics.average_recall import hit_positions, recall_by_count
from iamsb_core.metrics.matching import Matches, candidates, matches_at
from iamsb_core.metrics.metric_report import Counts, GroupMetrics
from iamsb_core.metrics.packed import Packed
from iamsb_core.metrics.protocols import Protocol
from iamsb_core.metrics.slices import length_buckets


def by_segment_length(packed: Packed, rules: Protocol) -> dict[str, GroupMetrics]:
    """For each bucket of lengths that holds truth: AP and AR of finding that truth.

    Matching is over all truth, and then what belongs to other buckets is left aside, as COCO does for sizes of objects
    (Lin et al. 2014, evaluation by area): proposals matched with truth of another length, and unmatched ones of another
    length. AUC and EER are of clips, and None here.
    """
    found = candidates(packed, rules)
    all_truth = _AllTruth(
        packed=packed,
        protocol=rules,
        order=np.argsort(-ranking_scores(packed, rules), kind="stable"),
        matches={threshold_key(t): matches_at(found, packed, rules, t) for t in rules.ap_tious},
        hits=hit_positions(packed, found, rules),
    )
    slices = {name: all_truth.bucket(bounds) for name, bounds in length_buckets().items()}
    return {name: metrics for name, metrics in slices.items() if metrics.counts.truths}


@dataclass(frozen=True, kw_only=True)
class _AllTruth:
    """What every bucket needs. P proposals, T truths."""

    packed: Packed
    protocol: Protocol
    order: NDArray[np.int64]
    """(P,): proposals by rank"""
    matches: dict[str, Matches]
    """by threshold"""
    hits: NDArray[np.int64]
    """(thresholds, T)"""

    def bucket(self, bounds: tuple[float, float]) -> GroupMetrics:
        """The metrics of the truths whose length lies in [from, to)."""
        inside = _between(self.packed.truths, bounds)
        own_length = _between(self.packed.proposals, bounds)
        num_truths = int(inside.sum())
        ranks = {key: _ranks(matches, inside, own_length, self.order) for key, matches in self.matches.items()}
        sizes = (num_truths, len(self.packed.proposals))
        return GroupMetrics(
            ap=areas(ranks, *sizes, self.protocol.area),
            ap_full=areas(ranks, *sizes, "full"),
            ar=recall_by_count(self.packed, self.hits, self.protocol, inside),
            auc=None,
            eer=None,
            cell_auc=None,
            counts=Counts(
                clips=self.packed.num_clips,
                forged_clips=len(np.unique(self.packed.clip_of_truth()[inside])),
                truths=num_truths,
                proposals=int(own_length.sum()),
            ),
        )


def _between(segments: NDArray[np.floating], bounds: tuple[float, float]) -> NDArray[np.bool_]:
    lengths = segments[:, 1] - segments[:, 0]
    inside: NDArray[np.bool_] = (lengths >= bounds[0]) & (lengths < bounds[1])
    return inside


def _ranks(
    matches: Matches, inside: NDArray[np.bool_], own_length: NDArray[np.bool_], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Places, from 1 and rising, of the matches inside the bucket among the proposals that count for it."""
    found = inside[matches.truth]
    counted = own_length.copy()
    counted[matches.proposal] = found
    is_hit = np.zeros(len(counted), dtype=bool)
    is_hit[matches.proposal[found]] = True
    places: NDArray[np.int64] = np.cumsum(counted[order], dtype=np.int64)[is_hit[order]]
    return places
