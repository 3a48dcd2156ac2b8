"""How a model's numbers fall as clips are perturbed: the measurements, a table, and a page with a curve for each kind.

The page is one self-contained HTML file, like a clip's report: no network, no script, readable on paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from iamsb_core.manifest import stream_name
from iamsb_core.media.perturbations.spec import KINDS, LEVELS, KindName, PerturbationSpec
from iamsb_core.metrics.metric_report import MetricReport, StreamMetrics
from iamsb_core.report import templates

_NOUNS = {"audio": "sound", "visual": "picture"}
_LEFT, _TOP, _WIDTH, _HEIGHT = 34.0, 10.0, 250.0, 120.0
"""the box of a chart's curves, in the units of its drawing"""


@dataclass(frozen=True, kw_only=True)
class PerturbedMetrics:
    """A model's numbers on one view of a split."""

    perturbation: PerturbationSpec | None
    """None: the clips as they are"""
    report: MetricReport
    num_unusable: int
    """videos without features, which count as if nothing had been found in them"""
    run_id: str
    """of the evaluation in MLflow"""


@dataclass(frozen=True, kw_only=True)
class RobustnessReport:
    """The clean numbers and those of every kind and level that was asked for."""

    dataset: str
    split: str
    model: str
    """its URI"""
    protocol: str
    num_clips: int
    clean: PerturbedMetrics
    views: tuple[PerturbedMetrics, ...]
    """by kind, and in a kind by level"""

    @property
    def kinds(self) -> tuple[KindName, ...]:
        """Those measured, in order."""
        return tuple(dict.fromkeys(view.perturbation.kind for view in self.views if view.perturbation is not None))

    def of_kind(self, kind: KindName) -> tuple[PerturbedMetrics, ...]:
        """The views of a kind by level."""
        return tuple(view for view in self.views if view.perturbation is not None and view.perturbation.kind == kind)


@dataclass(frozen=True, slots=True)
class Row:
    """One view as a line of the table: shares in [0, 1], None where nothing was there to find."""

    kind: str
    """empty for the clean clips"""
    level: int
    """0 for the clean clips"""
    strength: str
    stream: str
    """which stream was perturbed; empty for the clean clips"""
    values: dict[str, float | None]
    """AP at the protocol's first and last threshold, and AUC, of the fused proposals"""
    drops: dict[str, float | None]
    """how much lower than on the clean clips"""
    num_unusable: int


def rows(report: RobustnessReport) -> tuple[Row, ...]:
    """The table: the clean clips first."""
    return tuple(_row(view, report.clean.report) for view in (report.clean, *report.views))


def headline(metrics: StreamMetrics) -> dict[str, float | None]:
    """AP at the first and the last threshold that the report has, and AUC."""
    keys = list(metrics.ap)
    return {f"AP@{key}": metrics.ap[key] for key in dict.fromkeys((keys[0], keys[-1]))} | {"AUC": metrics.auc}


def _row(view: PerturbedMetrics, clean: MetricReport) -> Row:
    spec, values = view.perturbation, headline(view.report)
    drops = {name: _difference(before, values[name]) for name, before in headline(clean).items()}
    kind = None if spec is None else KINDS[spec.kind]
    return Row(
        kind="" if spec is None else spec.kind,
        level=0 if spec is None else spec.level,
        strength="" if spec is None or kind is None else f"{spec.strength:g} {kind.unit}",
        stream="" if kind is None else _NOUNS[stream_name(kind.modality)],
        values=values,
        drops=drops,
        num_unusable=view.num_unusable,
    )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else before - after


# ---- the page


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric over the levels of a kind."""

    name: str
    style: str
    """the class of its line and marks"""
    path: str
    points: tuple[tuple[float, float], ...]
    spoken: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One kind: curves from the clean clips (level 0) to the highest level that was measured."""

    title: str
    name: str
    stream: str
    unit: str
    curves: tuple[Curve, ...]
    ticks: tuple[tuple[float, str], ...]
    """where on the x axis, and the strength there"""


def render_robustness(report: RobustnessReport) -> str:
    """The page."""
    page = templates.environment().get_template("robustness.html.jinja")
    return page.render(
        report=report,
        rows=rows(report),
        charts=tuple(_chart(report, kind) for kind in report.kinds),
        heights=tuple((_height(share), f"{100 * share:.0f}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
        box=(_LEFT, _TOP, _WIDTH, _HEIGHT),
        style=templates.assets("report.css"),
        version=version("iamsb"),
    )


def _chart(report: RobustnessReport, kind: KindName) -> Chart:
    about, views = KINDS[kind], (report.clean, *report.of_kind(kind))
    levels = [0 if view.perturbation is None else view.perturbation.level for view in views]
    values = [headline(view.report) for view in views]
    styles = ("first", "second", "third")
    named = zip(values[0], styles[-len(values[0]) :], strict=True)
    return Chart(
        title=about.title,
        name=kind,
        stream=_NOUNS[stream_name(about.modality)],
        unit=about.unit,
        curves=tuple(_curve(name, style, levels, [one[name] for one in values]) for name, style in named),
        ticks=((_place(0), "clean"), *((_place(level), f"{about.strengths[level - 1]:g}") for level in LEVELS)),
    )


def _curve(name: str, style: str, levels: list[int], values: list[float | None]) -> Curve:
    points = tuple(_points(levels, values))
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    said = (
        f"{100 * value:.1f} at level {level}" for level, value in zip(levels, values, strict=True) if value is not None
    )
    return Curve(name, style, f"M{steps}" if steps else "", points, f"{name} in percent: {', '.join(said)}")


def _points(levels: list[int], values: list[float | None]) -> Iterator[tuple[float, float]]:
    for level, value in zip(levels, values, strict=True):
        if value is not None:
            yield _place(level), _height(value)


def _place(level: int) -> float:
    return round(_LEFT + _WIDTH * level / len(LEVELS), 2)


def _height(share: float) -> float:
    return round(_TOP + _HEIGHT * (1.0 - share), 2)
