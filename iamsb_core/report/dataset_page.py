"""What a dataset's check found, as one self-contained HTML page: no network, no script, readable on paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version

from iamsb_core.datasets.checks.findings import SEVERITIES, Finding, Severity, counted
from iamsb_core.datasets.checks.sizes import SplitSize
from iamsb_core.datasets.statistics import Histogram
from iamsb_core.datasets.validation import ValidationReport
from iamsb_core.report import templates
from iamsb_core.report.charts import HEIGHT, WIDTH, Chart, chart
from iamsb_core.report.headline import joined, visible

_NUM_EXAMPLES = 10
_HEADINGS: dict[Severity, tuple[str, str]] = {
    "error": ("Errors", "They make training, or its numbers, wrong."),
    "warning": ("Warnings", "Something to know before numbers are compared."),
    "note": ("Notes", "Nothing need be done."),
}
_SHARES = (
    ("num_genuine", "genuine", "genuine"),
    ("num_forged_audio_only", "forged sound", "audio"),
    ("num_forged_visual_only", "forged picture", "visual"),
    ("num_forged_both", "forged in both", "fused"),
    ("num_stream_unknown", "forged, stream not stated", "unknown"),
    ("num_unlabelled", "no label", "unlabelled"),
)


@dataclass(frozen=True, slots=True)
class FindingView:
    """A finding with the places that the page shows."""

    finding: Finding
    examples: tuple[str, ...]

    @property
    def num_more(self) -> int:
        return self.finding.count - len(self.examples)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a split's bar."""

    name: str
    style: str
    count: int
    percent: float
    left_percent: float


@dataclass(frozen=True, slots=True)
class HistogramView:
    """A histogram, and its drawing where it counts anything that columns can show."""

    histogram: Histogram
    chart: Chart | None


def render_dataset_page(report: ValidationReport) -> str:
    """The page of a check."""
    environment = templates.environment()
    environment.filters["visible"] = visible
    total = _total(report.splits)
    return environment.get_template("dataset.html.jinja").render(
        report=report,
        style=templates.assets("report.css") + templates.assets("dataset.css"),
        headline=headline(report),
        verdict=_verdict(report),
        groups=[(severity, *_HEADINGS[severity], _views(report, severity)) for severity in SEVERITIES],
        total=total,
        bars=[(size.split, tuple(_parts(size))) for size in report.splits if size.num_videos],
        shares=[(name, style) for field, name, style in _SHARES if total[field]],
        histograms=[_histogram(one) for one in report.histograms if one.total],
        size=(WIDTH, HEIGHT),
        streams={"audio": "Sound", "visual": "Picture", "all": "Clips"},
        version=version("iamsb"),
    )


def headline(report: ValidationReport) -> str:
    """The outcome in one sentence, without a full stop."""
    numbers = {severity: len(report.of(severity)) for severity in SEVERITIES}
    what = [counted(numbers["error"], "kind of error", "kinds of error")] if numbers["error"] else []
    what += [counted(numbers["warning"], "warning")] if numbers["warning"] else []
    return f"{joined(what) if what else 'Nothing wrong'} in {counted(report.num_videos, 'video')}"


def _verdict(report: ValidationReport) -> tuple[str, str]:
    """The badge's words and its tone."""
    if not report.ok:
        return "Errors", "forged"
    return ("Usable, with warnings", "warned") if report.of("warning") else ("Sound", "clear")


def _views(report: ValidationReport, severity: Severity) -> list[FindingView]:
    return [
        FindingView(one, tuple(instance.message for instance in one.instances[:_NUM_EXAMPLES]))
        for one in report.of(severity)
    ]


def _parts(size: SplitSize) -> Iterator[Part]:
    left = 0.0
    for field, name, style in _SHARES:
        count = getattr(size, field)
        percent = 100.0 * count / size.num_videos
        if count:
            yield Part(name, style, count, round(percent, 4), round(left, 4))
        left += percent


def _histogram(histogram: Histogram) -> HistogramView:
    return HistogramView(histogram, None if histogram.named else chart(histogram))


def _total(sizes: tuple[SplitSize, ...]) -> dict[str, float]:
    """Each count over all splits; people are not added up, since one may be in several."""
    names = [name for name in SplitSize.__dataclass_fields__ if name not in {"split", "num_identities"}]
    return {name: sum(getattr(size, name) for size in sizes) for name in names}
