"""Lines of shares in [0, 1] against a number, as SVG places: told apart by dash and mark as well as by colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 620.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 10.0, 40.0
NUM_STYLES = 8


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
    y_label: str
    box: tuple[float, float, float, float]
    """left, top, right, bottom"""


def line_chart(lines: Mapping[str, Mapping[float, float]], *, x_label: str, y_label: str) -> LineChart:
    """The drawing of lines (x to share). The vertical axis reaches the next tenth above the highest point."""
    every = sorted({x for line in lines.values() for x in line})
    top = max([0.1, *(value for line in lines.values() for value in line.values())])
    top = min(1.0, (int(top * 10 - 1e-9) + 1) / 10)
    low, span = (every[0], max(every[-1] - every[0], 1e-9)) if every else (0.0, 1.0)

    def place(x: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * (x - low) / span, 1)

    def height(share: float) -> float:
        return round(_TOP + (HEIGHT - _TOP - _BOTTOM) * (1.0 - share / top), 1)

    drawn = []
    for number, (name, line) in enumerate(lines.items()):
        points = tuple((place(x), height(share)) for x, share in sorted(line.items()))
        said = ", ".join(f"{100 * share:.1f} at {x:g}" for x, share in sorted(line.items()))
        path = "M" + "L".join(f"{x} {y}" for x, y in points) if points else ""
        drawn.append(Line(name, number % NUM_STYLES, path, points, f"{name}: {said}"))
    return LineChart(
        lines=tuple(drawn),
        heights=tuple((height(top * step / 5), f"{100 * top * step / 5:.0f}") for step in range(6)),
        places=tuple((place(x), f"{x:g}") for x in every),
        x_label=x_label,
        y_label=y_label,
        box=(_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM),
    )
