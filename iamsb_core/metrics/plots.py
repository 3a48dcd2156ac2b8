"""Curves of a report, as matplotlib figures that no global state knows of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from iamsb_core.metrics.metric_report import Values
from iamsb_core.metrics.protocols import AR_TIOUS, Protocol, protocol

_SIZE_INCHES = (6.0, 4.0)


def dense_protocol(name: str | Protocol) -> Protocol:
    """The protocol with ten thresholds and twelve counts, for curves rather than for a table."""
    counts = (100, 75, 50, 40, 30, 20, 15, 10, 5, 3, 2, 1)
    return replace(protocol(name), ap_tious=AR_TIOUS, ar_counts=counts)


def ap_figure(curves: Mapping[str, Values]) -> Figure:
    """AP against the tiou threshold, one line for each name, such as {"audio": report.streams["audio"].ap_full}."""
    return _figure(curves, "tIoU threshold", "average precision")


def ar_figure(curves: Mapping[str, Values]) -> Figure:
    """AR against the number of proposals (log axis), one line for each name."""
    figure = _figure(curves, "proposals per clip", "average recall")
    if any(value is not None for values in curves.values() for value in values.values()):
        figure.axes[0].set_xscale("log")  # which cannot be drawn without a point
    return figure


def _figure(curves: Mapping[str, Values], x_label: str, y_label: str) -> Figure:
    """Values that are None leave no point."""
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in curves.items():
        points = sorted((float(key), value) for key, value in values.items() if value is not None)
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, label=name)
    axes.set(xlabel=x_label, ylabel=y_label, ylim=(0.0, 1.0))
    axes.grid(visible=True, alpha=0.3)
    if curves:
        axes.legend()
    return figure
