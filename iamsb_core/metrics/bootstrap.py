"""How sure a number is: resampling clips with replacement, for one set of predictions or for two side by side.

Proposals are matched and ranked once; a replicate only weights clips by how often they were drawn. AP here is the
whole area under the curve, since the official area is not smooth in the sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Manifest, Modality
from iamsb_core.metrics.average_precision import ranking_scores, true_positive_ranks
from iamsb_core.metrics.average_recall import hit_positions, list_limits
from iamsb_core.metrics.clip_lists import EVERYTHING, clip_lists
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.packed import pack
from iamsb_core.metrics.protocols import Protocol, protocol


@dataclass(frozen=True)
class Interval:
    """A metric with the range that holds it at the level asked for."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """First minus second, with its range, and how often chance alone would give a difference as large."""

    estimate: float
    low: float
    high: float
    p_value: float


def bootstrap(
    truth: Manifest | Labels,
    predictions: Mapping[str, ClipProposals],
    protocol_name: str | Protocol = "lavdf",
    *,
    rng: np.random.Generator,
    modality: Modality | None = None,
    num_replicates: int = 1000,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Percentile intervals over clips, by metric (`ap_0.5`, `ar_100`, `auc`); a metric without truth is left out."""
    sample = _Sample.of(truth, predictions, protocol(protocol_name), modality)
    draws = np.stack([sample.metrics(weights) for weights in _draws(sample.num_clips, num_replicates, rng)])
    estimates = sample.metrics(np.ones(sample.num_clips))
    bounds = _bounds(draws, level)
    return {
        name: Interval(float(estimate), *bounds[index])
        for index, (name, estimate) in enumerate(zip(sample.names, estimates, strict=True))
        if np.isfinite(estimate)
    }


def paired_bootstrap(
    truth: Manifest | Labels,
    first: Mapping[str, ClipProposals],
    second: Mapping[str, ClipProposals],
    protocol_name: str | Protocol = "lavdf",
    *,
    rng: np.random.Generator,
    modality: Modality | None = None,
    num_replicates: int = 1000,
    level: float = 0.95,
) -> dict[str, Difference]:
    """First minus second on the same draws of clips, by metric; the p-value is two-sided."""
    rules = protocol(protocol_name)
    a, b = (_Sample.of(truth, predictions, rules, modality) for predictions in (first, second))
    draws = np.stack([a.metrics(w) - b.metrics(w) for w in _draws(a.num_clips, num_replicates, rng)])
    estimates = a.metrics(np.ones(a.num_clips)) - b.metrics(np.ones(b.num_clips))
    bounds = _bounds(draws, level)
    return {
        name: Difference(float(estimate), *bounds[index], p_value=_two_sided(draws[:, index]))
        for index, (name, estimate) in enumerate(zip(a.names, estimates, strict=True))
        if np.isfinite(estimate)
    }


def _draws(num_clips: int, num_replicates: int, rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """How often each clip was drawn, (C,), one replicate after the other."""
    for _ in range(num_replicates):
        yield np.bincount(rng.integers(0, num_clips, num_clips), minlength=num_clips).astype(np.float64)


def _bounds(draws: NDArray[np.float64], level: float) -> list[tuple[float, float]]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, such as 0.95, got {level}")
    found: list[tuple[float, float]] = []
    for column in draws.T:
        known = column[np.isfinite(column)]  # a replicate may have drawn no forged clip
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if len(known) else (np.nan, np.nan)
        found.append((float(low), float(high)))
    return found


def _two_sided(differences: NDArray[np.float64]) -> float:
    """Twice the smaller tail at zero, with one added on both sides so that it is never 0."""
    known = differences[np.isfinite(differences)]
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(known) + 1)))


@dataclass(frozen=True)
class _Sample:
    """What a replicate needs of one set of predictions. C clips, P proposals by global rank, M matched ones."""

    names: tuple[str, ...]
    num_clips: int
    clip_by_rank: NDArray[np.int64]
    """(P,)"""
    hit_places: tuple[NDArray[np.int64], ...]
    """for each threshold, (M,): 0-based places of the true positives in the ranking"""
    recalled: NDArray[np.float64]
    """(C, counts): truths found, averaged over thresholds"""
    truths: NDArray[np.float64]
    """(C,): number of truths"""
    forged: NDArray[np.bool_]
    """(C,)"""
    score_group: NDArray[np.int64]
    """(C,): place of the clip's score among the different scores, rising"""

    @classmethod
    def of(
        cls,
        truth: Manifest | Labels,
        predictions: Mapping[str, ClipProposals],
        rules: Protocol,
        modality: Modality | None,
    ) -> _Sample:
        labels = Labels.of_manifest(truth) if isinstance(truth, Manifest) else truth
        if not labels.clips:
            raise ValueError("a bootstrap needs clips to draw from; the labels hold none")
        lists = clip_lists(labels.clips, predictions, modality, EVERYTHING)
        packed = pack(lists.truths, lists.proposals)
        found = candidates(packed, rules)
        ranks = true_positive_ranks(packed, found, rules)
        order = np.argsort(-ranking_scores(packed, rules), kind="stable")
        clip = packed.clip_of_truth()
        hits = hit_positions(packed, found, rules)
        recalled = [
            np.bincount(clip, (hits < list_limits(packed, rules, n)[clip]).mean(axis=0), minlength=packed.num_clips)
            for n in rules.ar_counts
        ]
        return cls(
            names=(*(f"ap_{key}" for key in ranks), *(f"ar_{n}" for n in rules.ar_counts), "auc"),
            num_clips=packed.num_clips,
            clip_by_rank=packed.clip_of_proposal()[order],
            hit_places=tuple(rank - 1 for rank in ranks.values()),
            recalled=np.stack(recalled, axis=1),
            truths=np.diff(packed.truth_offsets).astype(np.float64),
            forged=np.diff(packed.truth_offsets) > 0,
            score_group=np.unique(lists.clip_scores, return_inverse=True)[1],
        )

    def metrics(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """The metrics in the order of `names`, of clips that count as often as weights (C,) says; NaN if undefined."""
        num_truths = float(weights @ self.truths)
        if num_truths == 0.0:
            return np.full(len(self.names), np.nan)
        seen = np.cumsum(weights[self.clip_by_rank])
        precision = [self._average_precision(places, weights, seen) / num_truths for places in self.hit_places]
        recall = (weights @ self.recalled) / num_truths
        return np.array([*precision, *recall, self._auc(weights)])

    def _average_precision(
        self, places: NDArray[np.int64], weights: NDArray[np.float64], seen: NDArray[np.float64]
    ) -> float:
        """Area times the number of truths; `seen` (P,) counts proposals down to each rank."""
        hits = weights[self.clip_by_rank[places]]
        drawn = hits > 0
        precision = np.cumsum(hits)[drawn] / seen[places][drawn]
        return float((np.maximum.accumulate(precision[::-1])[::-1] * hits[drawn]).sum())

    def _auc(self, weights: NDArray[np.float64]) -> float:
        num_groups = int(self.score_group.max()) + 1
        forged = np.bincount(self.score_group, weights * self.forged, minlength=num_groups)
        genuine = np.bincount(self.score_group, weights * ~self.forged, minlength=num_groups)
        pairs = forged.sum() * genuine.sum()
        below = np.cumsum(genuine) - genuine / 2
        return float(forged @ below / pairs) if pairs > 0 else float("nan")
