"""`iamsb score`: files of predictions against files of labels, and one system against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flows.commands.models import show_metrics
from flows.environment import Orchestrator
from flows.terminal import Terminal, UsageError
from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.metrics.bootstrap import Difference, Interval
from iamsb_core.metrics.files import BEST_PROPOSAL, Scoring
from iamsb_core.metrics.measure import DecisionThresholds
from iamsb_core.metrics.metric_report import GroupMetrics, MetricReport
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy
from iamsb_core.metrics.protocols import protocol as named_protocol
from iamsb_core.metrics.slices import SLICINGS, Slicing

NUM_REPLICATES = 1000
"""of a comparison, where no number is given"""


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """What was asked for beyond the two files."""

    also_labels: tuple[Path, ...] = ()
    also_predictions: tuple[Path, ...] = ()
    split: str | None = None
    file_hz: float | None = None
    clip_scores: str | None = None
    against: Path | None = None
    slices: bool = False
    slice_by: tuple[Slicing, ...] = ()
    cells: bool = False
    threshold: float | None = None
    threshold_from: str | None = None
    bootstrap: int | None = None
    seed: int = 0
    policy: Policy = DEFAULT_POLICY


def score(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    labels: Path,
    predictions: Path,
    protocol: str,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Score a file of predictions against labels, and compare it with another where one is given."""
    del orchestrator
    named_protocol(protocol)
    unknown = [name for name in options["slice_by"] if name not in SLICINGS]
    if unknown:
        raise UsageError(f"no slicing {unknown[0]!r}; there are {', '.join(SLICINGS)}")
    asked = parse(ScoreOptions, options, where="options")
    if asked.threshold is not None and asked.threshold_from is not None:
        raise UsageError("give --threshold or --threshold-from, not both")
    first = _read(labels, (predictions, *asked.also_predictions), protocol, asked)
    rng = np.random.default_rng(asked.seed)
    report = _report(first, asked)
    show_metrics(terminal, f"{predictions.name} on {labels.name}", report)
    _show_more(terminal, report)
    document: dict[str, Any] = plain(report)
    if asked.bootstrap is not None:
        intervals = first.intervals(asked.bootstrap, rng)
        show_intervals(terminal, intervals, asked.bootstrap)
        document["intervals"] = plain(intervals)
    if asked.against is not None:
        second = _read(labels, (asked.against,), protocol, asked)
        other = second.report()
        differences = first.differences(second, asked.bootstrap or NUM_REPLICATES, rng)
        show_metrics(terminal, f"{asked.against.name} on {labels.name}", other)
        show_differences(terminal, differences, predictions.name, asked.against.name)
        document["against"] = {"report": plain(other), "differences": plain(differences)}
    return document


def _read(labels: Path, predictions: Sequence[Path], protocol: str, asked: ScoreOptions) -> Scoring:
    given = asked.clip_scores
    return Scoring.read(
        (labels, *asked.also_labels),
        predictions,
        protocol,
        detection=given if given is None or given == BEST_PROPOSAL else Path(given),
        split=asked.split,
        file_hz=asked.file_hz,
        policy=asked.policy,
    )


def _report(scoring: Scoring, asked: ScoreOptions) -> MetricReport:
    thresholds = None
    if asked.threshold is not None:
        thresholds = DecisionThresholds.given(asked.threshold)
    elif asked.threshold_from is not None:
        thresholds = scoring.thresholds_of_split(asked.threshold_from)
    return scoring.report(slice_by=None if asked.slices else asked.slice_by, cells=asked.cells, thresholds=thresholds)


def _show_more(terminal: Terminal, report: MetricReport) -> None:
    """What the first table has no room for: scores, the other area, detection, and slices."""
    if named_protocol(report.protocol).area == "official":
        values = ", ".join(f"AP@{key} {_percent(value)}" for key, value in report.ap_full.items())
        terminal.say(f"whole area under the curve: {values} %")
    for name, value in (("score", report.score), ("final", report.final)):
        if value is not None:
            terminal.say(f"{name}: {100 * value:.2f} %")
    parts = {"fused": report, **report.streams}
    if any(part.auc is not None for part in parts.values()):
        rows = [(name, *map(_percent, _detection(part))) for name, part in parts.items()]
        heads = ("", "AUC", "EER", "cells' AUC", "ACC", "balanced ACC", "hits", "false alarms")
        terminal.table(f"clips forged or genuine{_threshold_text(report)}, in %", heads, rows)
    for by, groups in report.slices.items():
        heads = ("", "clips", "truths", *(f"AP\n{k}" for k in report.ap), *(f"AR\n{k}" for k in report.ar), "AUC")
        terminal.table(f"by {by.replace('_', ' ')}, in %", heads, [_slice_row(*group) for group in groups.items()])


def _detection(part: Any) -> list[float | None]:
    chosen = part.decision
    rates = [None] * 4
    if chosen is not None:
        rates = [chosen.accuracy, chosen.balanced_accuracy, chosen.hit_rate, chosen.false_alarm_rate]
    return [part.auc, part.eer, part.cell_auc, *rates]


def _threshold_text(report: MetricReport) -> str:
    if report.decision is None:
        return ""
    origin = "given" if report.decision.chosen_on == "given" else f"chosen on {report.decision.chosen_on}"
    return f"; clips called forged from {report.decision.threshold:.4g} on ({origin})"


def _slice_row(name: str, group: GroupMetrics) -> tuple[str, ...]:
    values = [*group.ap.values(), *group.ar.values(), group.auc]
    return (name, str(group.counts.clips), str(group.counts.truths), *map(_percent, values))


def show_intervals(terminal: Terminal, intervals: Mapping[str, Mapping[str, Interval]], num_replicates: int) -> None:
    """Each metric with its 95 % interval."""
    rows = [
        (f"{part} {metric}", _percent(one.estimate), f"{_percent(one.low)} to {_percent(one.high)}")
        for part, metrics in intervals.items()
        for metric, one in metrics.items()
    ]
    title = f"95 % intervals over clips, {num_replicates} replicates, AP of the whole area, in %"
    terminal.table(title, ("metric", "estimate", "interval"), rows)


def show_differences(
    terminal: Terminal, differences: Mapping[str, Mapping[str, Difference]], first: str, second: str
) -> None:
    """Each metric of the first less that of the second, with its 95 % interval and p-value."""
    rows = [
        (f"{part} {metric}", f"{100 * one.estimate:+.2f}", f"{100 * one.low:+.2f} to {100 * one.high:+.2f}", _p(one))
        for part, metrics in differences.items()
        for metric, one in metrics.items()
    ]
    title = f"{first} less {second}, paired over clips, AP of the whole area, in points"
    terminal.table(title, ("metric", "difference", "95 % interval", "p"), rows)


def _p(one: Difference) -> str:
    return f"{one.p_value:.4f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
