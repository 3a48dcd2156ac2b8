"""The answer to a named question: variants of systems under stated situations, as data.

Metrics are means over a variant's seeds. Their ranges come from a bootstrap over clips in which everyone sees the same
draws; they say nothing of how another seed would have trained, which is why every seed's own number is kept too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.metrics.bootstrap import Difference, Interval, bootstrap, paired_bootstrap
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.tables import known_values, mean_table, metric_table
from iamsb_core.systems.cost import SystemCost

Predictions = Mapping[str, ClipProposals]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked."""

    name: str
    question: str
    source: str
    """where it is asked: a paper and its section"""
    metrics: tuple[str, ...]
    """those that answer it, the most telling first, such as `ap_0.95`"""
    tells_falls: bool = True
    """whether how far everyone falls from the first situation to the others is part of the answer"""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Which clips everyone is scored on, and what was done to them."""

    name: str
    dataset: str
    split: str
    num_clips: int
    num_forged: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One variant in one situation."""

    variant: str
    situation: str
    intervals: dict[str, Interval]
    """fused metrics by name: `ap_0.5` (whole area under the curve), `ar_10`, `auc`"""
    by_seed: dict[str, tuple[float, ...]]
    """the same of each seed"""
    streams: dict[str, dict[str, float]]
    """AP by threshold of `audio` and `visual`, means over seeds"""
    against: dict[str, Difference]
    """this variant minus the reference in the same situation; empty for the reference"""
    fall: dict[str, Interval]
    """the first situation minus this one, for this variant; empty for the first"""


@dataclass(frozen=True, kw_only=True)
class VariantReport:
    """What was trained."""

    name: str
    system: str
    differs: str
    """in which settings, in words; empty for one that is as its size says"""
    epochs: int
    runs: tuple[tuple[int, str, str], ...]
    """seed, training run and model of each"""
    costs: tuple[SystemCost, ...]
    """by length of the clip"""
    step_seconds: float | None
    """median of a training step, as this machine was then"""
    traces: dict[str, dict[int, float]] = field(default_factory=dict)
    """by what was recorded in training, and by step: means over seeds"""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A training or evaluation that did not end well."""

    variant: str
    situation: str
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ExperimentReport:
    """Everything that the answer rests on. The first variant is the reference."""

    about: Question
    protocol: str
    size: str
    encoders: str
    device: str
    num_clips: int | None
    """that were trained on at most; None: the whole train split"""
    seeds: tuple[int, ...]
    situations: tuple[Situation, ...]
    variants: tuple[VariantReport, ...]
    measured: tuple[Measured, ...]
    troubles: tuple[Trouble, ...] = ()

    def of(self, variant: str, situation: str) -> Measured | None:
        """What was measured of one in the other."""
        for one in self.measured:
            if (one.variant, one.situation) == (variant, situation):
                return one
        return None

    def inside(self, situation: str) -> tuple[Measured, ...]:
        """Everyone in one situation, the reference first."""
        return tuple(one for one in self.measured if one.situation == situation)


@dataclass(frozen=True)
class Arm:
    """One variant's predictions in one situation, by seed."""

    variant: str
    runs: tuple[Predictions, ...]


@dataclass(frozen=True)
class Scene:
    """One situation with its truth and everyone in it."""

    situation: Situation
    labels: Labels
    arms: tuple[Arm, ...]


def measure(
    scenes: Sequence[Scene], reference: str, protocol: str, *, num_replicates: int = 1000, seed: int = 0
) -> tuple[Measured, ...]:
    """Score everyone in every situation: against the reference there, and against itself in the first situation."""
    scorer = _Scorer(protocol, num_replicates, seed)
    first = {arm.variant: scorer.intervals(scenes[0], arm) for arm in scenes[0].arms} if scenes else {}
    found = []
    for place, scene in enumerate(scenes):
        rivals = {arm.variant: arm for arm in scene.arms}
        for arm in scene.arms:
            intervals = scorer.intervals(scene, arm) if place else first[arm.variant]
            reports = [evaluate(scene.labels, run, protocol) for run in arm.runs]
            rival = rivals.get(reference) if arm.variant != reference else None
            one = Measured(
                variant=arm.variant,
                situation=scene.situation.name,
                intervals=intervals,
                by_seed=_by_seed(reports, tuple(intervals)),
                streams=_streams(reports) if scene.labels.has_streams else {},
                against={} if rival is None else scorer.differences(scene, arm, rival),
                fall=_fall(scorer, scenes[0], scene, arm, (first, intervals)) if place else {},
            )
            found.append(one)
    return tuple(found)


@dataclass(frozen=True)
class _Scorer:
    """The bootstrap that everyone gets, with the same draws."""

    protocol: str
    num_replicates: int
    seed: int

    def intervals(self, scene: Scene, arm: Arm) -> dict[str, Interval]:
        rng, num = np.random.default_rng(self.seed), self.num_replicates
        return bootstrap(scene.labels, arm.runs, self.protocol, rng=rng, num_replicates=num)

    def differences(self, scene: Scene, arm: Arm, other: Arm) -> dict[str, Difference]:
        """The first minus the other, on the scene's clips."""
        rng, num = np.random.default_rng(self.seed), self.num_replicates
        return paired_bootstrap(scene.labels, arm.runs, other.runs, self.protocol, rng=rng, num_replicates=num)


def _fall(
    scorer: _Scorer,
    first: Scene,
    scene: Scene,
    arm: Arm,
    known: tuple[dict[str, dict[str, Interval]], dict[str, Interval]],
) -> dict[str, Interval]:
    """The first situation minus this one: on the same draws where the clips are the same.

    known: the ranges of everyone in the first situation, and this arm's here.
    """
    earlier = next((other for other in first.arms if other.variant == arm.variant), None)
    if earlier is None:
        return {}
    before, now = known[0][arm.variant], known[1]
    here, there = scene.situation, first.situation
    if (here.dataset, here.split) == (there.dataset, there.split):
        found = scorer.differences(scene, earlier, arm)
        return {name: Interval(one.estimate, one.low, one.high) for name, one in found.items()}
    return {name: _minus(before[name], now[name]) for name in before if name in now}


def _minus(first: Interval, second: Interval) -> Interval:
    """The difference of numbers from different clips, whose errors are independent."""
    estimate = first.estimate - second.estimate
    down = float(np.hypot(first.estimate - first.low, second.high - second.estimate))
    up = float(np.hypot(first.high - first.estimate, second.estimate - second.low))
    return Interval(estimate, estimate - down, estimate + up)


def _by_seed(reports: Sequence[MetricReport], names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    tables = [metric_table(report) for report in reports]
    return {name: tuple(table[name] for table in tables) for name in names if all(name in table for table in tables)}


def _streams(reports: Sequence[MetricReport]) -> dict[str, dict[str, float]]:
    return {
        name: mean_table([known_values(report.streams[name].ap_full) for report in reports])
        for name in map(stream_name, STREAMS)
    }
