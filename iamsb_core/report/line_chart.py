"""Lines against a number, mostly of shares in [0, 1], as SVG places: told apart by dash and mark as well as colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 620.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 10.0, 40.0
NUM_STYLES = 8
_MOST_PLACES = 12
_FEWER_PLACES = 6


@dataclass(frozen=True, slots=True)
class Line:
    """One named line."""

    name: str
    style: int
    """0 to NUM_STYLES - 1"""
    path: str
    points: tuple[tuple[float, float], ...]
    spoken: str


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines, the heights with their percentages, and the places with their numbers."""

    lines: tuple[Line, ...]
    heights: tuple[tuple[float, str], ...]
    places: tuple[tuple[float, str], ...]
    x_label: str
    box: tuple[float, float, float, float]
    """left, top, right, bottom"""


def line_chart(
    lines: Mapping[str, Mapping[float, float]],
    *,
    x_label: str,
    reach: tuple[float, float] | None = None,
    scale: float = 100.0,
) -> LineChart:
    """The drawing of lines (x to value).

    reach: lowest and highest value of the vertical axis; None: 0, and the next tenth above the highest point.
    scale: what values are multiplied by where they are written; 100 for percent.
    """
    every = sorted({x for line in lines.values() for x in line})
    bottom, top = _shares_reach(lines) if reach is None else reach
    low, span = (every[0], max(every[-1] - every[0], 1e-9)) if every else (0.0, 1.0)

    def place(x: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (x - low) / span, 1)

    def height(share: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1.0 - (share - bottom) / (top - bottom)), 1)

    digits = 1 if scale > 1.0 else 3
    drawn = []
    for number, (name, line) in enumerate(lines.items()):
        points = tuple((place(x), height(share)) for x, share in sorted(line.items()))
        said = ", ".join(f"{scale * share:.{digits}f} at {x:g}" for x, share in sorted(line.items()))
        path = "M" + "L".join(f"{x} {y}" for x, y in points) if points else ""
        drawn.append(Line(name, number % NUM_STYLES, path, points, f"{name}: {said}"))
    return LineChart(
        lines=tuple(drawn),
        heights=tuple((height(value), _written(scale * value)) for value in _steps(bottom, top)),
        places=tuple((place(x), f"{x:g}") for x in _few(every)),
        x_label=x_label,
        box=(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM),
    )


def _shares_reach(lines: Mapping[str, Mapping[float, float]]) -> tuple[float, float]:
    top = max([0.1, *(value for line in lines.values() for value in line.values())])
    return 0.0, min(1.0, (int(top * 10 - 1e-9) + 1) / 10)


def _steps(bottom: float, top: float) -> list[float]:
    parts = 5 if bottom == 0.0 else 4  # so that 0 is marked where the axis is the same above and below it
    return [bottom + (top - bottom) * step / parts for step in range(parts + 1)]


def _written(value: float) -> str:
    """Whole numbers where the axis is in percent, three figures where it is finer."""
    return f"{value:.0f}" if abs(value) >= 2.0 or value == 0.0 else f"{value:.2g}"


def _few(places: list[float]) -> list[float]:
    """All, or some that stand evenly among many."""
    if len(places) <= _MOST_PLACES:
        return places
    return [places[round(step * (len(places) - 1) / _FEWER_PLACES)] for step in range(_FEWER_PLACES + 1)]
