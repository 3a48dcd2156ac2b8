"""A reproduction as one self-contained page: the paper's tables beside ours, its figures drawn from our numbers.

No network, no script, readable on paper. The paper's numbers are of LAV-DF (CVPR 2026, ablation study).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from iamsb_core.datasets.statistics import Histogram
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report import charts, templates
from iamsb_core.report.arena import SIGNIFICANT
from iamsb_core.report.line_chart import LineChart, line_chart
from iamsb_core.report.reproduction import FORGED_STREAM_GOAL, Reproduction, ScoreHistogram, VariantResult
from iamsb_core.systems.iamsb.variants import FULL

PAPER_BRIDGES: dict[str, tuple[float, float]] = {
    FULL: (55.92, 94.68),
    "no-csb": (32.51, 87.83),
    "no-wsb": (23.39, 85.77),
    "csb-only": (22.07, 85.25),
}
"""AP@0.95 and AR@10 in percent, in the paper's order"""
PAPER_POINTS: dict[str, dict[int, float]] = {
    "witnesses": {16: 55.92, 32: 54.35, 64: 53.97},
    "coarse-steps": {1: 52.87, 2: 55.92, 3: 55.98},
}
"""AP@0.95 in percent"""
_BRIDGES: dict[str, tuple[bool, bool, bool]] = {
    FULL: (True, True, True),
    "no-csb": (False, True, True),
    "no-wsb": (True, False, True),
    "csb-only": (True, False, False),
    "no-rsb": (True, True, False),
}
_AXES = {"witnesses": "k, witnesses of a query", "coarse-steps": "S_c, coarse steps", "step-budget": "S_tgt, steps"}
_TITLES = {
    "witnesses": "How many witnesses",
    "coarse-steps": "How many coarse steps",
    "step-budget": "AP against steps",
}


@dataclass(frozen=True, kw_only=True)
class BridgeRow:
    """One line of the ablation table: shares in [0, 1], the paper's in percent."""

    result: VariantResult
    kept: tuple[bool, bool, bool]
    paper: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class SweepFigure:
    """One sweep as a table and a drawing."""

    title: str
    results: tuple[VariantResult, ...]
    paper: dict[int, float]
    chart: LineChart
    trained: bool
    """whether every point was trained by itself"""


def render_reproduction(found: Reproduction) -> str:
    """The page."""
    page = templates.environment().get_template("reproduction.html.jinja")
    return page.render(
        found=found,
        full=found.results[0],
        rows=_rows(found),
        order=order_told(found),
        figures=tuple(_figure(found, sweep) for sweep in _TITLES if found.of_sweep(sweep)),
        allocation=(found.results[0], *found.of_sweep("allocation")),
        histogram=None if found.scores is None else charts.chart(_histogram(found.scores)),
        size=(charts.WIDTH, charts.HEIGHT),
        goal=FORGED_STREAM_GOAL,
        significant=SIGNIFICANT,
        metric=metric_words,
        metrics=tuple(name for name in found.results[0].metrics if name.startswith("ap_")),
        style=templates.assets("report.css"),
        version=version("iamsb"),
    )


def _rows(found: Reproduction) -> tuple[BridgeRow, ...]:
    """The paper's rows in its order, then what it leaves out."""
    known = {one.variant.name: one for one in found.of_sweep("bridges")}
    return tuple(
        BridgeRow(result=known[name], kept=kept, paper=PAPER_BRIDGES.get(name))
        for name, kept in _BRIDGES.items()
        if name in known
    )


def order_told(found: Reproduction) -> str:
    """Whether the paper's order of AP@0.95 came out, in a sentence; empty where a row is missing."""
    values = {one.variant.name: one.metrics.get("ap_0.95", 0.0) for one in found.of_sweep("bridges")}
    if not set(PAPER_BRIDGES) <= set(values):
        return ""
    ours = sorted(PAPER_BRIDGES, key=lambda name: -values[name])
    shown = " > ".join(f"{name} ({100 * values[name]:.1f})" for name in ours)
    if values[FULL] > values["no-csb"] > values["no-wsb"] >= values["csb-only"]:
        return f"The paper's order comes out: {shown}."
    return f"The paper's order (full > no-csb > no-wsb >= csb-only) does not come out here: {shown}."


def _figure(found: Reproduction, sweep: str) -> SweepFigure:
    results = tuple(sorted(found.of_sweep(sweep), key=lambda one: one.variant.point or 0))
    names = [name for name in results[0].metrics if name.startswith("ap_")]
    lines = {
        metric_words(name): {float(one.variant.point or 0): one.metrics[name] for one in results} for name in names
    }
    return SweepFigure(
        title=_TITLES[sweep],
        results=results,
        paper=PAPER_POINTS.get(sweep, {}),
        chart=line_chart(lines, x_label=_AXES[sweep]),
        trained=all(one.variant.trained for one in results),
    )


def _histogram(scores: ScoreHistogram) -> Histogram:
    pairs = zip(scores.edges, scores.edges[1:], strict=False)
    return Histogram(
        title="Directional scores",
        unit="sound minus picture",
        counted="clips",
        bins=tuple(f"{low:.2f} to {high:.2f}" for low, high in pairs),
        series=scores.counts,
    )
