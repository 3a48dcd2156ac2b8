"""What the page draws of a system's bridges: what was matched with what, and how boundaries moved from step to step.

Read from the evidence's `matches` and `trajectories` (see `System.explain`), of the clip or of its windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iamsb_core.report.evidence import NOUNS
from iamsb_core.report.headline import stretch

COUPLING_HEIGHT, PATHS_HEIGHT = 120.0, 190.0
WIDTH = 1000.0
_TOP_BAR, _BOTTOM_BAR, _BAR_HEIGHT = 4.0, 102.0, 14.0
_MOST_LINKS = 12
_MOST_PATHS = 6
_FAINTEST, _STRONGEST = 0.12, 0.8
_PATHS_TOP, _PATHS_BOTTOM = 14.0, 172.0
_STREAMS = ("audio", "visual")


@dataclass(frozen=True, slots=True)
class Link:
    """A sound and a picture segment that the coupling matched: bars on both rows and the ribbon between them."""

    sound: tuple[float, float]
    """left edge and width"""
    picture: tuple[float, float]
    ribbon: str
    """an SVG path"""
    opacity: float
    """by mass"""
    spoken: str


@dataclass(frozen=True, slots=True)
class Path:
    """One query's boundaries: two lines from its first place to its last, from the top down."""

    stream: str
    start: str
    end: str
    last: tuple[float, float, float]
    """x of the start and of the end, and y, where the query came to rest"""
    spoken: str


@dataclass(frozen=True, slots=True)
class BridgeDrawing:
    """Both pictures; x runs over the clip as on the time line."""

    links: tuple[Link, ...]
    paths: tuple[Path, ...]
    levels: tuple[tuple[float, str], ...]
    """heights of the steps with their names"""


def bridge_drawing(evidence: Mapping[str, Any], duration_seconds: float) -> BridgeDrawing | None:
    """The pictures of what the evidence (JSON data) tells; None where it tells neither."""
    scale = WIDTH / duration_seconds
    found = [match for each in _told(evidence, "matches", list) for match in each]
    heaviest = sorted(found, key=lambda match: -float(match["mass"]))[:_MOST_LINKS]
    most = max([1e-9, *(float(match["mass"]) for match in heaviest)])
    by_stream = [
        (stream, path)
        for told in _told(evidence, "trajectories", dict)
        for stream in _STREAMS
        for path in told.get(stream, ())
    ]
    by_stream = sorted(by_stream, key=lambda told: -float(told[1]["confidence"]))[:_MOST_PATHS]
    names = _level_names([path["stages"] for _, path in by_stream])
    heights = {name: _height(place, len(names)) for place, name in enumerate(names)}
    drawing = BridgeDrawing(
        links=tuple(_link(match, scale, float(match["mass"]) / most) for match in heaviest),
        paths=tuple(_path(stream, path, scale, heights) for stream, path in by_stream),
        levels=tuple((height, name) for name, height in heights.items()),
    )
    return drawing if drawing.links or drawing.paths else None


def _told(evidence: Mapping[str, Any], name: str, kind: type) -> Iterator[Any]:
    """What is said under the name, of the clip or of each of its windows."""
    windows = evidence.get("windows")
    parts = [window.get("evidence", {}) for window in windows] if isinstance(windows, list) else []
    yield from (part[name] for part in (evidence, *parts) if isinstance(part.get(name), kind))


def _link(match: Mapping[str, Any], scale: float, share: float) -> Link:
    sound, picture = (match[stream]["segment"] for stream in _STREAMS)
    (a, b), (c, d) = ([round(seconds * scale, 2) for seconds in segment] for segment in (sound, picture))
    low = _TOP_BAR + _BAR_HEIGHT
    return Link(
        sound=(a, round(b - a, 2)),
        picture=(c, round(d - c, 2)),
        ribbon=f"M{a} {low}L{b} {low}L{d} {_BOTTOM_BAR}L{c} {_BOTTOM_BAR}Z",
        opacity=round(_FAINTEST + (_STRONGEST - _FAINTEST) * share, 3),
        spoken=f"Sound {stretch(*sound)} with picture {stretch(*picture)}: {match['mass']:.1%} of the mass, "
        f"residual {match['residual']:.3g}",
    )


def _level_names(paths: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    """Every stage that some path has, the earliest first."""
    order = {"prior": 0, "coarse": 1, "refinement": 2}
    known = {(order.get(stage["bridge"], 3), int(stage["step"]), _level(stage)) for path in paths for stage in path}
    return [name for _, _, name in sorted(known)]


def _level(stage: Mapping[str, Any]) -> str:
    return str(stage["bridge"]) if not stage["step"] else f"{stage['bridge']} {stage['step']}"


def _height(place: int, number: int) -> float:
    return round(_PATHS_TOP + (_PATHS_BOTTOM - _PATHS_TOP) * place / max(1, number - 1), 1)


def _path(stream: str, path: Mapping[str, Any], scale: float, heights: Mapping[str, float]) -> Path:
    stages = [(*stage["segment"], heights[_level(stage)]) for stage in path["stages"]]
    lines = ["L".join(f"{stage[side] * scale:.2f} {stage[2]}" for stage in stages) for side in (0, 1)]
    first, last = path["stages"][0]["segment"], path["stages"][-1]["segment"]
    return Path(
        stream=stream,
        start=f"M{lines[0]}",
        end=f"M{lines[1]}",
        last=(round(last[0] * scale, 2), round(last[1] * scale, 2), stages[-1][2]),
        spoken=f"{NOUNS[stream].capitalize()} from {stretch(*first)} to {stretch(*last)} in {len(stages) - 1} steps, "
        f"confidence {path['confidence']:.2f}",
    )
