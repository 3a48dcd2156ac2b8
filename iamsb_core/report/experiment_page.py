"""The page of an experiment: question, answer, dots with their ranges, tables, traces and runs.

One self-contained HTML file: no network, no script, readable on paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from iamsb_core.metrics.bootstrap import Interval
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report import templates
from iamsb_core.report.dot_chart import DotChart, dot_chart
from iamsb_core.report.experiment import ExperimentReport, Measured, Situation
from iamsb_core.report.experiment_words import SIGNIFICANT, finding
from iamsb_core.report.line_chart import LineChart, line_chart

_COSINE_REACH = (-1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class SituationTable:
    """Everyone in one situation, and the metrics that they have."""

    situation: Situation
    metrics: tuple[str, ...]
    rows: tuple[Measured, ...]
    best: dict[str, float]
    """of each metric that more than one of them has"""
    has_streams: bool


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What was recorded in training."""

    name: str
    chart: LineChart


def render_experiment(report: ExperimentReport) -> str:
    """The page."""
    page = templates.environment().get_template("experiment.html.jinja")
    return page.render(
        report=report,
        finding=finding(report),
        charts=tuple(_dots(report, metric) for metric in report.about.metrics),
        tables=tuple(_table(report, situation) for situation in report.situations),
        traces=_traces(report),
        metric=metric_words,
        significant=SIGNIFICANT,
        style=templates.assets("report.css"),
        version=version("iamsb"),
    )


def _dots(report: ExperimentReport, metric: str) -> DotChart:
    """A row for each variant; for each situation instead where there are more of these."""
    variants, situations = [one.name for one in report.variants], [one.name for one in report.situations]
    known = {(one.variant, one.situation): one.intervals for one in report.measured if metric in one.intervals}
    by_situation = len(situations) > len(variants)
    rows, columns = (situations, variants) if by_situation else (variants, situations)
    numbers: dict[str, dict[str, Interval]] = {row: {} for row in rows}
    for (variant, situation), intervals in known.items():
        row, column = (situation, variant) if by_situation else (variant, situation)
        numbers[row][column] = intervals[metric]
    return dot_chart(numbers, columns, label=f"{metric_words(metric)}, percent")


def _table(report: ExperimentReport, situation: Situation) -> SituationTable:
    rows = report.inside(situation.name)
    known = [name for row in rows for name in row.intervals if name not in ("score", "final")]
    names = tuple(dict.fromkeys(known))
    known_of = {name: [row.intervals[name].estimate for row in rows if name in row.intervals] for name in names}
    best = {name: max(values) for name, values in known_of.items() if len(values) > 1}
    has_streams = any(row.streams for row in rows)
    return SituationTable(situation=situation, metrics=names, rows=rows, best=best, has_streams=has_streams)


def _traces(report: ExperimentReport) -> tuple[Trace, ...]:
    found = []
    for name in dict.fromkeys(name for variant in report.variants for name in variant.traces):
        lines = {one.name: one.traces[name] for one in report.variants if one.traces.get(name)}
        values = [value for line in lines.values() for value in line.values()]
        reach = _COSINE_REACH if "cosine" in name else (0.0, max(1.1 * max(values), 1e-6))
        drawn = {variant: {float(step): value for step, value in line.items()} for variant, line in lines.items()}
        words = name.replace("_", " ")
        found.append(Trace(name=words, chart=line_chart(drawn, x_label="step", reach=reach, scale=1.0)))
    return tuple(found)
