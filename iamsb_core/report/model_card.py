"""A model card: what a registered model is, what it learned from, how good it was where, and what not to ask of it.

After Mitchell et al., Model Cards for Model Reporting (2019). It states only what the model's own card.json, its
training run and its evaluations recorded; as Markdown for the registry, and as one page without network or script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.metrics.bootstrap import Interval
from iamsb_core.metrics.metric_report import MetricReport, StreamMetrics
from iamsb_core.report import model_card_words as words
from iamsb_core.report import templates
from iamsb_core.report.model_card_words import ModelDescription
from iamsb_core.report.model_figures import FUSED, ModelFigures, TrainingData

_NAMES = {FUSED: "both, fused", "audio": "sound", "visual": "picture"}
_AR = "10"
"""the number of proposals whose recall is shown"""
MOST_CHARACTERS = 5000
"""of a description in MLflow's registry"""


@dataclass(frozen=True)
class Table:
    """Heads and rows of texts."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One evaluation in the card."""

    title: str
    notes: tuple[str, ...]
    metrics: Table
    slices: dict[str, Table]


@dataclass(frozen=True, kw_only=True)
class CardText:
    """A model card, written."""

    markdown: str
    html: str
    description: str
    """the card without its slices and settings, short enough for the registry"""


def write_model_card(
    model: ModelDescription,
    *,
    data: TrainingData | None,
    dev: ModelFigures | None,
    evaluations: Sequence[ModelFigures] = (),
) -> CardText:
    """The card. data and dev are None for a model that was trained before they were recorded, dev also without a split.

    evaluations: of any dataset and split, as they are to be shown.
    """
    parts = [_part(each, "") for each in evaluations]
    if dev is not None:
        parts.append(_part(dev, words.CHOSEN_ON_DEV))
    content: dict[str, Any] = {
        "model": model,
        "encoders": {"sound": _encoder(model.audio), "picture": _encoder(model.visual)},
        "data": _data(data),
        "data_notes": words.data_notes(data),
        "parts": parts,
        "unmeasured": "" if evaluations else words.NOT_EVALUATED,
        "uses": words.INTENDED_USES,
        "misuses": words.NOT_INTENDED,
        "limits": words.limits(model, data, evaluations),
    }
    brief = _render("model_card.md.jinja", **content, brief=True)
    return CardText(
        markdown=_render("model_card.md.jinja", **content, brief=False),
        html=_render("model_card.html.jinja", **content, style=templates.assets("report.css", "dataset.css")),
        description=brief if len(brief) <= MOST_CHARACTERS else f"{brief[: MOST_CHARACTERS - 4].rstrip()} ...",
    )


def _render(template: str, **content: Any) -> str:
    environment = templates.environment()
    environment.filters |= {"cell": _cell, "marked": _marked}
    if template.endswith(".md.jinja"):
        environment.finalize = _without_tags
    return environment.get_template(template).render(**content)


def _without_tags(value: Any) -> Any:
    """Markdown lets HTML through, and what a dataset or a model is called is not ours to let through."""
    return value.replace("<", "&lt;") if isinstance(value, str) else value


def _cell(text: str) -> str:
    """A text that leaves a Markdown table whole."""
    return text.replace("|", "\\|").replace("\n", " ")


def _marked(text: str) -> Markup:
    """Words between backticks become code, as Markdown has them."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _encoder(spec: EncoderSpec) -> str:
    parts = [spec.name, f"version {spec.version}"]
    if spec.weights:
        parts += [f"weights {spec.weights}", f"layer {spec.layer}", spec.dtype, f"SHA-256 {spec.weights_digest[:12]}"]
    return ", ".join([*parts, "with lips"] if spec.lips else parts)


def _data(data: TrainingData | None) -> Table | None:
    if data is None:
        return None
    heads = ("", "clips", "genuine", "forged sound", "forged picture", "segments", "hours")
    rows = [
        (
            split,
            *map(str, (facts.num_clips, facts.num_genuine, facts.num_forged_sound, facts.num_forged_picture)),
            str(facts.num_segments),
            "not stated" if facts.hours is None else f"{facts.hours:.2f}",
        )
        for split, facts in data.splits.items()
    ]
    return Table(heads, tuple(rows))


def _part(figures: ModelFigures, note: str) -> Part:
    report = figures.report
    counts = (
        f"{report.counts.clips} clips, {report.counts.forged_clips} of them forged, {report.counts.truths} segments"
    )
    unusable = f"{figures.num_unusable} videos could not be used and are not counted" if figures.num_unusable else ""
    return Part(
        title=f"{figures.dataset}, {figures.split} split, protocol {report.protocol}",
        notes=tuple(text for text in (f"{counts}; measured {figures.date}", unusable, note, *report.warnings) if text),
        metrics=_metrics(figures),
        slices={words.SLICINGS[by]: _slices(groups) for by, groups in report.slices.items() if groups},
    )


def _columns(report: StreamMetrics) -> list[tuple[str, str]]:
    """(metric's name, its head) of what the tables show."""
    shown = [(f"ap_{key}", f"AP@{key}") for key in report.ap]
    return [*shown, *((f"ar_{key}", f"AR@{key}") for key in report.ar if key == _AR), ("auc", "clip AUC")]


def _metrics(figures: ModelFigures) -> Table:
    columns = _columns(figures.report)
    rows = [
        (_NAMES[name], *(_number(_value(metrics, key), figures.intervals.get(name, {}).get(key)) for key, _ in columns))
        for name, metrics in _lanes(figures.report)
    ]
    return Table(("", *(head for _, head in columns)), tuple(rows))


def _lanes(report: MetricReport) -> Iterator[tuple[str, StreamMetrics]]:
    yield FUSED, report
    yield from report.streams.items()


def _slices(groups: Mapping[str, StreamMetrics]) -> Table:
    columns = _columns(next(iter(groups.values())))
    rows = [
        (name, str(one.counts.clips), str(one.counts.truths), *(_number(_value(one, key)) for key, _ in columns))
        for name, one in groups.items()
    ]
    return Table(("", "clips", "segments", *(head for _, head in columns)), tuple(rows))


def _value(metrics: StreamMetrics, key: str) -> float | None:
    kind, _, number = key.partition("_")
    return metrics.auc if kind == "auc" else {"ap": metrics.ap, "ar": metrics.ar}[kind].get(number)


def _number(value: float | None, interval: Interval | None = None) -> str:
    """In %, with the range where there is one: `75.3 (70.1 to 80.2)`."""
    if value is None:
        return "-"
    around = "" if interval is None else f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
    return f"{100 * value:.1f}{around}"
