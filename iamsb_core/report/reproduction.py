"""What a reproduction of the paper's ablations found: the measurements of every variant, as data.

Metrics are means over seeds; a difference from the full system has a paired bootstrap over clips behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.bootstrap import Difference, paired_bootstrap
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.tables import known_values, mean_table, metric_table
from iamsb_core.systems.iamsb.variants import Variant

KINDS = ("genuine", "audio", "visual", "both")
"""of clips, by the streams that were forged"""
FORGED_STREAM_GOAL = 0.65
"""share of the refinement steps that should go to the forged stream of a one-stream forgery"""
NUM_BINS = 12


@dataclass(frozen=True, kw_only=True)
class VariantRuns:
    """One variant on one split: what it predicted with every seed."""

    variant: Variant
    seeds: tuple[int, ...]
    models: tuple[str, ...]
    training_runs: tuple[str, ...]
    evaluation_runs: tuple[str, ...]
    predictions: tuple[Mapping[str, ClipProposals], ...]


@dataclass(frozen=True, kw_only=True)
class StepShares:
    """Where the refinement steps of one-stream forgeries went."""

    num_clips: int
    """with steps to share out, over all seeds"""
    forged_share: float
    """mean share of a clip's steps that its forged stream got"""
    num_mostly_forged: int
    """clips whose forged stream got more than half"""


@dataclass(frozen=True, kw_only=True)
class VariantResult:
    """One variant's numbers."""

    variant: Variant
    metrics: dict[str, float]
    """fused: `ap_0.5` (whole area under the curve), `ar_10`, `auc`; `audio_ap_0.5` and such of the streams"""
    by_forgery: dict[str, dict[str, float]]
    """fused AP by threshold, of the clips forged in `audio`, `visual`, or `audio and visual`, with all genuine ones"""
    against: dict[str, Difference]
    """this variant minus the full system; empty for that itself"""
    steps: StepShares | None
    """None where nothing was shared out"""
    runs: tuple[tuple[int, str, str, str], ...]
    """seed, training run, evaluation run and model"""


@dataclass(frozen=True, kw_only=True)
class ScoreHistogram:
    """S_{a|v} - S_{v|a} of the full system's clips, by kind of clip."""

    edges: tuple[float, ...]
    counts: dict[str, tuple[int, ...]]
    means: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The whole study on one dataset."""

    dataset: str
    split: str
    protocol: str
    encoders: str
    size: str
    epochs: int
    device: str
    seeds: tuple[int, ...]
    num_clips: int
    num_forged: int
    results: tuple[VariantResult, ...]
    """the full system first"""
    scores: ScoreHistogram | None
    """None where no clip has both streams"""

    def of_sweep(self, sweep: str) -> tuple[VariantResult, ...]:
        """The sweep's points in order."""
        return tuple(one for one in self.results if one.variant.sweep == sweep)


def measure(
    everyone: Sequence[VariantRuns], labels: Labels, protocol: str, *, num_replicates: int = 1000, seed: int = 0
) -> tuple[VariantResult, ...]:
    """Every variant's numbers on the same clips; the first is the one that the others are compared with."""
    reference = list(everyone[0].predictions)
    kinds = {clip.video_id: kind_of(clip) for clip in labels.clips}
    found = []
    for place, one in enumerate(everyone):
        against: dict[str, Difference] = {}
        if place and num_replicates:
            runs, rng = list(one.predictions), np.random.default_rng(seed)
            against = paired_bootstrap(labels, runs, reference, protocol, rng=rng, num_replicates=num_replicates)
        reports = [evaluate(labels, run, protocol, slice_by=("modality",)) for run in one.predictions]
        forged = [report.slices["modality"] for report in reports]
        found.append(
            VariantResult(
                variant=one.variant,
                metrics=mean_table([_with_streams(report) for report in reports]),
                by_forgery={
                    name: mean_table([known_values(groups[name].ap_full) for groups in forged]) for name in forged[0]
                },
                against=against,
                steps=step_shares(one.predictions, kinds),
                runs=tuple(zip(one.seeds, one.training_runs, one.evaluation_runs, one.models, strict=True)),
            )
        )
    return tuple(found)


def kind_of(clip: ClipTruth) -> str:
    """One of KINDS. Raises ValueError where the labels do not tell streams apart."""
    if clip.audio is None or clip.visual is None:
        raise ValueError(f"the labels of {clip.video_id} do not say which stream was forged; reproduce needs them")
    return KINDS[(len(clip.audio) > 0) + 2 * (len(clip.visual) > 0)]


def step_shares(runs: Sequence[Mapping[str, ClipProposals]], kinds: Mapping[str, str]) -> StepShares | None:
    """How the one-stream forgeries' steps were shared out; None where none had any."""
    shares = []
    for clip in (clip for run in runs for clip in run.values()):
        kind, budget = kinds.get(clip.video_id), clip.evidence.get("step_budget")
        if kind in ("audio", "visual") and isinstance(budget, Mapping) and sum(budget.values()):
            shares.append(budget[kind] / sum(budget.values()))
    if not shares:
        return None
    return StepShares(
        num_clips=len(shares), forged_share=fmean(shares), num_mostly_forged=sum(share > 0.5 for share in shares)
    )


def score_histogram(runs: Sequence[Mapping[str, ClipProposals]], kinds: Mapping[str, str]) -> ScoreHistogram | None:
    """Directional scores by kind of clip, in bins of equal width over their range; None without any."""
    differences: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for clip in (clip for run in runs for clip in run.values()):
        scores: Any = clip.evidence.get("directional_scores") or {}
        if clip.video_id in kinds and set(scores) == {"audio", "visual"}:
            differences[kinds[clip.video_id]].append(scores["audio"] - scores["visual"])
    every = [value for values in differences.values() for value in values]
    if not every:
        return None
    reach = max(1e-3, *(abs(value) for value in every))
    edges = np.linspace(-reach, reach, NUM_BINS + 1)
    counts = {kind: np.histogram(values, edges)[0] for kind, values in differences.items()}
    return ScoreHistogram(
        edges=tuple(edges.tolist()),
        counts={kind: tuple(row.tolist()) for kind, row in counts.items()},
        means={kind: fmean(values) for kind, values in differences.items() if values},
    )


def _with_streams(report: MetricReport) -> dict[str, float]:
    """The fused proposals' metrics by name, and each stream's behind its own: `audio_ap_0.95`."""
    found = metric_table(report)
    for name, stream in report.streams.items():
        found |= {f"{name}_{metric}": value for metric, value in metric_table(stream).items()}
    return found
