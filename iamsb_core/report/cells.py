"""What the cells of each stream say of themselves: the part of a score that can be pinned to a moment.

A system that tells puts `cells` beside its other evidence (see `System.explain`): for each stream the length of a cell
and its scores, from the start of the clip or of the window. Here they become one curve for each stream, and leave the
evidence, where they would be long lists of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from iamsb_core.report.evidence import LANES, LaneName, ScoreCurve
from iamsb_core.report.proposals import FINEST_HOP_SECONDS, MAX_CURVE_CELLS

_DECIMALS = 4


def cell_curves(
    evidence: Mapping[str, Any], duration_seconds: float
) -> tuple[dict[LaneName, ScoreCurve], dict[str, Any]]:
    """A curve for each stream that the evidence (JSON data) tells of, and the evidence without its cells.

    A cell of the curve has the highest score of the system's cells that it touches, in any window.
    """
    curves = {}
    for name in LANES:
        told = [(start, cells[name]) for start, cells in _told(evidence) if cells.get(name)]
        if told:
            curves[name] = _curve(told, duration_seconds)
    return curves, _without_cells(evidence)


def _told(evidence: Mapping[str, Any]) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """(start in seconds, cells by stream), of the clip or of each of its windows."""
    if isinstance(evidence.get("cells"), Mapping):
        yield 0.0, evidence["cells"]
    for window in evidence.get("windows", ()) if isinstance(evidence.get("windows"), list) else ():
        if isinstance(window, Mapping) and isinstance(window.get("evidence"), Mapping):
            cells = window["evidence"].get("cells")
            if isinstance(cells, Mapping):
                yield float(window["start_seconds"]), cells


def _without_cells(evidence: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in evidence.items() if name != "cells"}
    if isinstance(kept.get("windows"), list):
        kept["windows"] = [_window_without_cells(window) for window in kept["windows"]]
    return kept


def _window_without_cells(window: Any) -> Any:
    if not isinstance(window, Mapping) or not isinstance(window.get("evidence"), Mapping):
        return window
    return {**window, "evidence": {name: value for name, value in window["evidence"].items() if name != "cells"}}


def _curve(told: list[tuple[float, Mapping[str, Any]]], duration_seconds: float) -> ScoreCurve:
    hop = max(FINEST_HOP_SECONDS, duration_seconds / MAX_CURVE_CELLS)
    scores = np.zeros(max(1, math.ceil(duration_seconds / hop - 1e-6)))
    for start, cells in told:
        values = np.asarray(cells["scores"], dtype=np.float64)
        edges = start + np.arange(len(values) + 1) * float(cells["hop_seconds"])
        first = np.clip(np.floor(edges[:-1] / hop + 1e-6).astype(int), 0, len(scores) - 1)
        last = np.clip(np.ceil(edges[1:] / hop - 1e-6).astype(int) - 1, 0, len(scores) - 1)
        for reach in range(int((last - first).max(initial=0)) + 1):
            np.maximum.at(scores, np.minimum(first + reach, last), values)
    return ScoreCurve(hop_seconds=round(hop, 9), scores=tuple(np.clip(scores, 0.0, 1.0).round(_DECIMALS).tolist()))
