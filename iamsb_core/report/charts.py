"""Histograms as SVG columns: where each bar stands, in the units of the drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from iamsb_core.datasets.statistics import Histogram

WIDTH, HEIGHT = 560.0, 236.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 54.0, 6.0, 12.0, 30.0
_MOST_LINES = 5
_GAP_SHARE = 0.18
"""of a bin, left free between it and the next"""
_SPOKEN = {"audio": "sound", "visual": "picture", "all": "all"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of one series."""

    series: str
    x: float
    y: float
    width: float
    height: float
    spoken: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A histogram as it is drawn; `spoken` says in words what it shows."""

    bars: tuple[Bar, ...]
    lines: tuple[tuple[float, str], ...]
    """heights with their counts"""
    labels: tuple[tuple[float, str], ...]
    """places with the names of the bins"""
    spoken: str


def chart(histogram: Histogram) -> Chart:
    """The drawing of a histogram that counts at least one thing."""
    names = tuple(histogram.series)
    top = max(max(counts) for counts in histogram.series.values())
    step = _step(top)
    num_steps = max(1, math.ceil(top / step))
    box_width, box_height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    bin_width = box_width / len(histogram.bins)
    bar_width = bin_width * (1 - _GAP_SHARE) / len(names)
    bars = []
    for place, name in enumerate(names):
        for index, count in enumerate(histogram.series[name]):
            height = box_height * count / (step * num_steps)
            x = _LEFT + bin_width * (index + _GAP_SHARE / 2) + bar_width * place
            spoken = f"{histogram.bins[index]} {histogram.unit}: {count:,} ({_SPOKEN.get(name, name)})"
            bars.append(
                Bar(
                    name,
                    round(x, 2),
                    round(_TOP + box_height - height, 2),
                    round(bar_width, 2),
                    round(height, 2),
                    spoken,
                )
            )
    lines = [(round(_TOP + box_height * (1 - i / num_steps), 2), _short(step * i)) for i in range(num_steps + 1)]
    labels = [(round(_LEFT + bin_width * place, 2), name) for place, name in _labels(histogram.bins)]
    return Chart(tuple(bars), tuple(lines), tuple(labels), _in_words(histogram))


def _step(top: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, ... of which few enough reach the top."""
    scale = 1
    while True:
        for factor in (1, 2, 5):
            if top <= factor * scale * _MOST_LINES:
                return factor * scale
        scale *= 10


def _short(count: int) -> str:
    """`1.2M`, `40k`, `500`."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if count >= unit:
            return f"{count / unit:g}{name}"
    return str(count)


def _labels(bins: tuple[str, ...]) -> list[tuple[float, str]]:
    """What stands below the columns, by place in bins: a range's start at its left edge, a number in the middle."""
    ranges = any(" to " in name for name in bins)
    return [
        (i + (0.0 if ranges else 0.5), name.split(" to ")[0].replace(" or more", "" if ranges else "+"))
        for i, name in enumerate(bins)
    ]


def _in_words(histogram: Histogram) -> str:
    parts = []
    for name, counts in histogram.series.items():
        total = sum(counts)
        if total:
            best = max(range(len(counts)), key=counts.__getitem__)
            which = "" if name == "all" else f" of the {_SPOKEN.get(name, name)}"
            share = f"{counts[best] / total:.0%}"
            parts.append(f"{total:,} {histogram.counted}{which}, {share} in {histogram.bins[best]} {histogram.unit}")
    return f"{histogram.title}: {'; '.join(parts)}"
