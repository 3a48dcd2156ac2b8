"""Numbers with their ranges as dots with whiskers, one row for each name and one kind of dot for each situation.

Places are in the units of the drawing; dots are told apart by shape of the line and place as well as by colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iamsb_core.metrics.bootstrap import Interval
from iamsb_core.report.line_chart import NUM_STYLES

WIDTH = 760.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 230.0, 20.0, 8.0, 34.0
_DOT_HEIGHT, _ROW_GAP = 15.0, 11.0
_STEPS = 5


@dataclass(frozen=True, slots=True)
class Dot:
    """One number with its range."""

    style: int
    """0 to NUM_STYLES - 1: of what the row is divided by"""
    x: float
    low: float
    high: float
    y: float
    spoken: str


@dataclass(frozen=True, slots=True)
class Row:
    """One name and its dots."""

    name: str
    y: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class DotChart:
    """All rows, the axis, and the key."""

    rows: tuple[Row, ...]
    places: tuple[tuple[float, str], ...]
    key: tuple[tuple[int, str], ...]
    label: str
    box: tuple[float, float, float, float]
    """left, top, right, bottom"""
    size: tuple[float, float]


def dot_chart(numbers: Mapping[str, Mapping[str, Interval]], situations: Sequence[str], *, label: str) -> DotChart:
    """numbers: by row and by situation, shares in [0, 1]. The axis reaches the next tenth above the highest range."""
    highest = max((one.high for row in numbers.values() for one in row.values()), default=0.0)
    top = min(1.0, max(0.1, (int(highest * 10 - 1e-9) + 1) / 10))

    def place(share: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * min(max(share / top, 0.0), 1.0), 1)

    rows, y = [], _TOP
    for name, found in numbers.items():
        dots = []
        for style, situation in enumerate(situations):
            if situation in found:
                one = found[situation]
                y += _DOT_HEIGHT
                said = f"{situation}: {100 * one.estimate:.1f}, {100 * one.low:.1f} to {100 * one.high:.1f}"
                across = (place(one.estimate), place(one.low), place(one.high))
                dots.append(Dot(style % NUM_STYLES, *across, y, said))
        middle = sum(dot.y for dot in dots) / len(dots) if dots else y
        rows.append(Row(name, round(middle, 1), tuple(dots)))
        y += _ROW_GAP
    return DotChart(
        rows=tuple(rows),
        places=tuple((place(top * step / _STEPS), f"{100 * top * step / _STEPS:.0f}") for step in range(_STEPS + 1)),
        key=tuple((number % NUM_STYLES, name) for number, name in enumerate(situations)),
        label=label,
        box=(_LEFT, _TOP, WIDTH - _RIGHT, y),
        size=(WIDTH, y + _BOTTOM),
    )
