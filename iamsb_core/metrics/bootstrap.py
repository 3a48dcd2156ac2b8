"""How sure a number is: resampling clips with replacement, for one set of predictions or for two side by side.

Proposals are matched and ranked once; a replicate only weights clips by how often they were drawn. AP here is the
whole area under the curve, since the official area is not smooth in the sample. Under ActivityNet's AR, lists are cut
as for all clips: its cut depends on the sample too, by a share of a proposal.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Manifest, Modality
from iamsb_core.metrics.average_precision import ranking_scores, true_positive_ranks
from iamsb_core.metrics.average_recall import hit_positions, list_limits
from iamsb_core.metrics.clip_lists import EVERYTHING, Contents, clip_lists
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.measure import Rules
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy
from iamsb_core.metrics.protocols import Protocol, protocol
from iamsb_core.metrics.scores import challenge_score, ddl_final

Runs = Mapping[str, ClipProposals] | Sequence[Mapping[str, ClipProposals]]
"""predictions by video_id; of several, such as a system's with several seeds, a metric is the mean"""


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
    predictions: Runs,
    protocol_name: str | Protocol = "lavdf",
    *,
    rng: np.random.Generator,
    modality: Modality | None = None,
    num_replicates: int = 1000,
    level: float = 0.95,
    contents: Contents = EVERYTHING,
    policy: Policy = DEFAULT_POLICY,
) -> dict[str, Interval]:
    """Percentile intervals over clips, by metric: `ap_0.5`, `ar_100`, `auc`, and the protocol's `score` and `final`.

    A metric without truth, or of which the predictions say nothing, is left out. The score of a single stream is no
    challenge's, and is left out too.
    """
    rules = Rules(protocol=protocol(protocol_name), policy=policy, contents=contents)
    sample = _Samples.of(truth, predictions, rules, modality)
    draws = np.stack([sample.metrics(weights) for weights in _draws(sample.num_clips, num_replicates, rng)])
    estimates = sample.metrics(np.ones(sample.num_clips, dtype=np.int32))
    bounds = _bounds(draws, level)
    return {
        name: Interval(float(estimate), *bounds[index])
        for index, (name, estimate) in enumerate(zip(sample.names, estimates, strict=True))
        if np.isfinite([estimate, *bounds[index]]).all()
    }


def paired_bootstrap(
    truth: Manifest | Labels,
    first: Runs,
    second: Runs,
    protocol_name: str | Protocol = "lavdf",
    *,
    rng: np.random.Generator,
    modality: Modality | None = None,
    num_replicates: int = 1000,
    level: float = 0.95,
    contents: Contents = EVERYTHING,
    policy: Policy = DEFAULT_POLICY,
) -> dict[str, Difference]:
    """First minus second on the same draws of clips, by metric; the p-value is two-sided.

    contents is what both say.
    """
    rules = Rules(protocol=protocol(protocol_name), policy=policy, contents=contents)
    a, b = (_Samples.of(truth, predictions, rules, modality) for predictions in (first, second))
    draws = np.stack([a.metrics(w) - b.metrics(w) for w in _draws(a.num_clips, num_replicates, rng)])
    once = np.ones(a.num_clips, dtype=np.int32)
    estimates = a.metrics(once) - b.metrics(once)
    bounds = _bounds(draws, level)
    return {
        name: Difference(float(estimate), *bounds[index], p_value=_two_sided(draws[:, index]))
        for index, (name, estimate) in enumerate(zip(a.names, estimates, strict=True))
        if np.isfinite([estimate, *bounds[index]]).all()
    }


def paired_selections(
    truth: Manifest | Labels,
    runs: Sequence[Mapping[str, ClipProposals]],
    protocol_name: str | Protocol = "lavdf",
    *,
    rng: np.random.Generator,
    num_replicates: int = 1000,
) -> NDArray[np.float64]:
    """(1 + replicates, runs): the number that models are chosen by, of all clips first, then of the same draws for all.

    It is the mean AP over the streams that have truth and over thresholds; of both streams together where the labels
    do not tell them apart; the clip AUC where all clips are labelled as a whole. NaN where a draw holds neither.
    """
    labels = Labels.of_manifest(truth) if isinstance(truth, Manifest) else truth
    rules = Rules(protocol=protocol(protocol_name))
    whole = all(clip.is_whole_clip for clip in labels.clips)
    streams: tuple[Modality | None, ...] = STREAMS if labels.has_streams and not whole else (None,)
    samples = [[_Sample.of(labels, run, rules, stream) for stream in streams] for run in runs]
    once = np.ones(len(labels.clips), dtype=np.int32)
    weights = itertools.chain([once], _draws(len(labels.clips), num_replicates, rng))
    return np.array([[_selection(run, drawn, whole=whole) for run in samples] for drawn in weights])


def _selection(samples: Sequence[_Sample], weights: NDArray[np.int32], *, whole: bool) -> float:
    if whole:
        return float(samples[0].metrics(weights)[samples[0].names.index("auc")])
    found = np.concatenate([one.metrics(weights)[: len(one.hit_places)] for one in samples])
    known = found[np.isfinite(found)]
    return float(known.mean()) if len(known) else float("nan")


def _draws(num_clips: int, num_replicates: int, rng: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """How often each clip was drawn, (C,), one replicate after the other."""
    if num_replicates < 1:
        raise ValueError(f"a bootstrap needs at least 1 replicate, got {num_replicates}; 1000 are usual")
    for _ in range(num_replicates):
        yield np.bincount(rng.integers(0, num_clips, num_clips), minlength=num_clips).astype(np.int32)


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
class _Samples:
    """One or several runs on the same clips."""

    runs: tuple[_Sample, ...]

    @classmethod
    def of(cls, truth: Manifest | Labels, predictions: Runs, rules: Rules, modality: Modality | None) -> _Samples:
        several = (predictions,) if isinstance(predictions, Mapping) else tuple(predictions)
        if not several:
            raise ValueError("a bootstrap needs at least one set of predictions, got none")
        return cls(tuple(_Sample.of(truth, one, rules, modality) for one in several))

    @property
    def names(self) -> tuple[str, ...]:
        return self.runs[0].names

    @property
    def num_clips(self) -> int:
        return self.runs[0].num_clips

    def metrics(self, weights: NDArray[np.int32]) -> NDArray[np.float64]:
        """The runs' mean."""
        found: NDArray[np.float64] = np.mean([run.metrics(weights) for run in self.runs], axis=0)
        return found


@dataclass(frozen=True)
class _Sample:
    """What a replicate needs of one set of predictions. C clips, P proposals by global rank, M matched ones."""

    names: tuple[str, ...]
    protocol: Protocol
    is_fused: bool
    num_clips: int
    clip_by_rank: NDArray[np.int32]
    """(P,)"""
    hit_places: tuple[NDArray[np.int64], ...]
    """for each threshold, (M,): 0-based places of the true positives in the ranking"""
    recalled: NDArray[np.float64]
    """(C, counts): truths found, averaged over thresholds"""
    truths: NDArray[np.float64]
    """(C,): number of truths"""
    forged: NDArray[np.bool_]
    """(C,)"""
    score_group: NDArray[np.int64] | None
    """(C,): place of the clip's score among the different scores, rising; None where clips have no scores"""

    @classmethod
    def of(
        cls,
        truth: Manifest | Labels,
        predictions: Mapping[str, ClipProposals],
        rules: Rules,
        modality: Modality | None,
    ) -> _Sample:
        labels = Labels.of_manifest(truth) if isinstance(truth, Manifest) else truth
        if not labels.clips:
            raise ValueError("a bootstrap needs clips to draw from; the labels hold none")
        lists = clip_lists(labels.clips, predictions, modality, rules.contents)
        packed, protocol = rules.packed(lists), rules.protocol
        found = candidates(packed, protocol)
        ranks = true_positive_ranks(packed, found, protocol)
        last = max((int(rank.max(initial=0)) for rank in ranks.values()), default=0)
        order = np.argsort(-ranking_scores(packed, protocol), kind="stable")[:last]
        clip = packed.clip_of_truth()
        hits = hit_positions(packed, found, protocol)
        recalled = [
            np.bincount(clip, (hits < list_limits(packed, protocol, n)[clip]).mean(axis=0), minlength=packed.num_clips)
            for n in protocol.ar_counts
        ]
        return cls(
            names=(*(f"ap_{key}" for key in ranks), *(f"ar_{n}" for n in protocol.ar_counts), "auc", "score", "final"),
            protocol=protocol,
            is_fused=modality is None,
            num_clips=packed.num_clips,
            clip_by_rank=packed.clip_of_proposal()[order].astype(np.int32),
            hit_places=tuple(rank - 1 for rank in ranks.values()),
            recalled=np.stack(recalled, axis=1),
            truths=np.diff(packed.truth_offsets).astype(np.float64),
            forged=lists.forged,
            score_group=np.unique(lists.clip_scores, return_inverse=True)[1] if lists.has_clip_scores else None,
        )

    def metrics(self, weights: NDArray[np.int32]) -> NDArray[np.float64]:
        """The metrics in the order of `names`, of clips that count as often as weights (C,) says; NaN if undefined."""
        auc = self._auc(weights)
        num_truths = float(weights @ self.truths)
        if num_truths == 0.0:
            return np.array([*[np.nan] * (len(self.names) - 3), auc, np.nan, np.nan])
        seen = np.cumsum(weights[self.clip_by_rank], dtype=np.int64)
        precision = [self._average_precision(places, weights, seen) / num_truths for places in self.hit_places]
        recall = (weights @ self.recalled) / num_truths
        return np.array([*precision, *recall, auc, *self._scores([*precision, *recall.tolist()], auc)])

    def _scores(self, values: list[float], auc: float) -> tuple[float, float]:
        """The challenge's score and final, of all clips' fused lists only; NaN where there is none."""
        if not self.is_fused or self.protocol.score is None:
            return np.nan, np.nan
        keys = [name.partition("_")[2] for name in self.names[: len(values)]]
        num_ap = len(self.hit_places)
        ap = dict(zip(keys[:num_ap], values[:num_ap], strict=True))
        ar = dict(zip(keys[num_ap:], values[num_ap:], strict=True))
        score = challenge_score(ap, ar, self.protocol.score)
        final = ddl_final(auc, score) if self.protocol.score == "ddl-av" else None
        return np.nan if score is None else score, np.nan if final is None else final

    def _average_precision(
        self, places: NDArray[np.int64], weights: NDArray[np.int32], seen: NDArray[np.int64]
    ) -> float:
        """Area times the number of truths; `seen` (P,) counts proposals down to each rank."""
        hits = weights[self.clip_by_rank[places]]
        drawn = hits > 0
        precision = np.cumsum(hits, dtype=np.int64)[drawn] / seen[places][drawn]
        return float((np.maximum.accumulate(precision[::-1])[::-1] * hits[drawn]).sum())

    def _auc(self, weights: NDArray[np.int32]) -> float:
        if self.score_group is None:
            return float("nan")
        num_groups = int(self.score_group.max()) + 1
        forged = np.bincount(self.score_group, weights * self.forged, minlength=num_groups)
        genuine = np.bincount(self.score_group, weights * ~self.forged, minlength=num_groups)
        pairs = forged.sum() * genuine.sum()
        below = np.cumsum(genuine) - genuine / 2
        return float(forged @ below / pairs) if pairs > 0 else float("nan")
