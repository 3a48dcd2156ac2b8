"""Systems side by side on the same clips: the numbers of a comparison, as data and as one self-contained page.

No network, no script, readable on paper. Metrics are means over a system's seeds; intervals and p-values come from a
bootstrap over clips in which every seed of every system sees the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from statistics import fmean

import numpy as np

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.metrics.anatomy import ErrorAnatomy, anatomy
from iamsb_core.metrics.bootstrap import Difference, Interval, bootstrap, paired_bootstrap
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.plots import dense_protocol
from iamsb_core.metrics.slices import telling
from iamsb_core.metrics.tables import known_values, mean_table, metric_table, metric_words
from iamsb_core.report import templates
from iamsb_core.report.line_chart import LineChart, line_chart
from iamsb_core.systems.cost import SystemCost

SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One trained system of one seed on one test split."""

    seed: int
    run_id: str
    """of its training in MLflow"""
    model: str
    """its URI"""
    threshold: float
    """from which its segments are shown, chosen on its own dev split"""
    predictions: Mapping[str, ClipProposals]


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One system with all its seeds on one test split."""

    system: str
    size: str
    seeds: tuple[SeedResult, ...]
    cost: SystemCost


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one system did on one dataset."""

    system: str
    size: str
    runs: tuple[tuple[int, str, str], ...]
    """seed, training run and model of each"""
    intervals: dict[str, Interval]
    """fused metrics by name, such as `ap_0.5` (whole area under the curve), `ar_10`, `auc`"""
    streams: dict[str, dict[str, float]]
    """AP by threshold of `audio` and `visual`, means over seeds"""
    curve: dict[str, float]
    """fused AP by tiou threshold, finely"""
    slices: dict[str, dict[str, float]]
    """by what was grouped and by group: mean over the protocol's thresholds of the fused AP, whole area"""
    anatomies: tuple[ErrorAnatomy, ...]
    """of each seed"""
    cost: SystemCost
    against: dict[str, Difference]
    """this system minus the reference; empty for the reference itself"""


@dataclass(frozen=True, kw_only=True)
class DatasetArena:
    """All systems on one dataset; the first is the reference that the others are compared with."""

    dataset: str
    split: str
    num_clips: int
    num_forged: int
    standings: tuple[Standing, ...]
    random: dict[str, float]
    """the same metrics of proposals that know the clip's length only"""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A training or evaluation that did not end well."""

    dataset: str
    system: str
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Arena:
    """The whole comparison."""

    protocol: str
    encoders: str
    epochs: int
    device: str
    datasets: tuple[DatasetArena, ...]
    failures: tuple[Failure, ...]


def dataset_arena(
    entrants: Sequence[Entrant],
    labels: Labels,
    random: Mapping[str, ClipProposals],
    *,
    dataset: str,
    split: str,
    protocol: str,
    num_replicates: int = 1000,
    seed: int = 0,
) -> DatasetArena:
    """Score everyone on the same clips. Raises ValueError without an entrant."""
    if not entrants:
        raise ValueError(f"no system has a result on {dataset}; there is nothing to compare")
    reference = _runs(entrants[0])

    def against(runs: list[Mapping[str, ClipProposals]]) -> dict[str, Difference]:
        rng = np.random.default_rng(seed)
        return paired_bootstrap(labels, runs, reference, protocol, rng=rng, num_replicates=num_replicates)

    standings = []
    for place, one in enumerate(entrants):
        rng = np.random.default_rng(seed)
        intervals = bootstrap(labels, _runs(one), protocol, rng=rng, num_replicates=num_replicates)
        standings.append(_standing(one, labels, protocol, intervals, against(_runs(one)) if place else {}))
    return DatasetArena(
        dataset=dataset,
        split=split,
        num_clips=len(labels.clips),
        num_forged=sum(clip.is_forged for clip in labels.clips),
        standings=tuple(standings),
        random=metric_table(evaluate(labels, random, protocol)),
    )


def _runs(entrant: Entrant) -> list[Mapping[str, ClipProposals]]:
    return [one.predictions for one in entrant.seeds]


def _standing(
    entrant: Entrant, labels: Labels, protocol: str, intervals: dict[str, Interval], against: dict[str, Difference]
) -> Standing:
    slicings = telling(labels.clips)
    reports = [evaluate(labels, run, protocol, slice_by=slicings) for run in _runs(entrant)]
    dense = [evaluate(labels, run, dense_protocol(protocol)) for run in _runs(entrant)]
    return Standing(
        system=entrant.system,
        size=entrant.size,
        runs=tuple((one.seed, one.run_id, one.model) for one in entrant.seeds),
        intervals=intervals,
        streams={
            stream_name(m): mean_table([known_values(report.streams[stream_name(m)].ap_full) for report in reports])
            for m in STREAMS
            if labels.has_streams
        },
        curve=mean_table([known_values(report.ap_full) for report in dense]),
        slices={by: _sliced(reports, by) for by in slicings if by in reports[0].slices},
        anatomies=tuple(anatomy(labels.clips, one.predictions, one.threshold) for one in entrant.seeds),
        cost=entrant.cost,
        against=against,
    )


def _sliced(reports: Sequence[MetricReport], by: str) -> dict[str, float]:
    tables = []
    for report in reports:
        groups = {name: list(known_values(group.ap_full).values()) for name, group in report.slices[by].items()}
        tables.append({name: fmean(values) for name, values in groups.items() if values})
    return mean_table(tables)


# ---- the page


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """One system's mistakes in words' units: shares of the true segments, milliseconds, alarms an hour."""

    system: str
    missed: float | None
    duplicates: float | None
    false: float | None
    median_ms: float | None
    ninety_ms: float | None
    alarms: float | None


@dataclass(frozen=True, kw_only=True)
class DatasetPage:
    """What the template draws of one dataset."""

    arena: DatasetArena
    metrics: tuple[str, ...]
    best: dict[str, float]
    """the highest estimate of each metric"""
    chart: LineChart
    errors: tuple[ErrorRow, ...]
    slices: tuple[tuple[str, str, tuple[float | None, ...]], ...]
    """what was grouped, the group, and each system's number"""


def render_arena(arena: Arena) -> str:
    """The page."""
    return (
        templates.environment()
        .get_template("arena.html.jinja")
        .render(
            arena=arena,
            pages=tuple(_page(one) for one in arena.datasets),
            significant=SIGNIFICANT,
            metric=metric_words,
            style=templates.assets("report.css"),
            version=version("iamsb"),
        )
    )


def _page(arena: DatasetArena) -> DatasetPage:
    standings = arena.standings
    names = [name for name in standings[0].intervals if name not in ("score", "final")]
    groups = [(by, group) for by, table in standings[0].slices.items() for group in table]
    return DatasetPage(
        arena=arena,
        metrics=tuple(names),
        best={name: max(one.intervals[name].estimate for one in standings if name in one.intervals) for name in names},
        chart=line_chart(
            {one.system: {float(key): value for key, value in one.curve.items()} for one in standings},
            x_label="tIoU threshold",
        ),
        errors=tuple(error_row(one) for one in standings),
        slices=tuple(
            (by, group, tuple(one.slices.get(by, {}).get(group) for one in standings)) for by, group in groups
        ),
    )


def error_row(standing: Standing) -> ErrorRow:
    """Means over the seeds."""
    every = standing.anatomies

    def mean(value: Callable[[ErrorAnatomy], float | None]) -> float | None:
        known = [found for one in every if (found := value(one)) is not None]
        return fmean(known) if known else None

    return ErrorRow(
        system=standing.system,
        missed=mean(lambda one: one.num_missed / one.num_truths if one.num_truths else None),
        duplicates=mean(lambda one: one.num_duplicates / one.num_truths if one.num_truths else None),
        false=mean(lambda one: one.num_false / one.num_truths if one.num_truths else None),
        median_ms=mean(lambda one: None if one.boundaries is None else 1000 * one.boundaries.median_seconds),
        ninety_ms=mean(lambda one: None if one.boundaries is None else 1000 * one.boundaries.ninety_percent_seconds),
        alarms=mean(lambda one: one.false_alarms_per_hour),
    )
