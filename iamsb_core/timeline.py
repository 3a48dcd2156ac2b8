"""Time: segments in seconds, grids of equal cells, and arrays that carry their clock.

This is the only code that turns seconds into cells and back. Cell i of a grid covers
[i, i + 1) * hop_seconds, so N cells have N + 1 edges, and a segment owns the cells whose centre it contains:
adjacent segments share no cell and lose none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TIE_CELLS = 1e-9


@dataclass(frozen=True, order=True, slots=True)
class Segment:
    """A stretch of time [start, end), in seconds. Raises ValueError unless 0 <= start < end < inf."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.start < self.end < math.inf:
            raise ValueError(f"a segment needs 0 <= start < end, got [{self.start}, {self.end})")

    @property
    def duration_seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class TimeGrid:
    """Equal cells of time from t = 0: cell i covers [i, i + 1) * hop_seconds."""

    hop_seconds: float
    num_cells: int

    def __post_init__(self) -> None:
        if not 0.0 < self.hop_seconds < math.inf:
            raise ValueError(f"a grid needs a positive hop, got {self.hop_seconds} s")
        if self.num_cells < 0:
            raise ValueError(f"a grid cannot have {self.num_cells} cells")

    @classmethod
    def covering(cls, duration_seconds: float, hop_seconds: float) -> TimeGrid:
        """The grid whose end is nearest to the clip's end (half a cell rounds up); at least one cell."""
        return cls(hop_seconds, max(1, math.floor(duration_seconds / hop_seconds + 0.5 + _TIE_CELLS)))

    @property
    def duration_seconds(self) -> float:
        return self.num_cells * self.hop_seconds

    def edges(self) -> NDArray[np.float64]:
        """(num_cells + 1,) seconds."""
        return np.arange(self.num_cells + 1, dtype=np.float64) * self.hop_seconds

    def centres(self) -> NDArray[np.float64]:
        """(num_cells,) seconds."""
        return (np.arange(self.num_cells, dtype=np.float64) + 0.5) * self.hop_seconds

    def cells(self, segment: Segment) -> slice:
        """The cells whose centre lies in the segment (possibly none)."""
        first, last = (math.ceil(t / self.hop_seconds - 0.5 - _TIE_CELLS) for t in (segment.start, segment.end))
        return slice(min(max(first, 0), self.num_cells), min(max(last, 0), self.num_cells))

    def segment(self, cells: slice) -> Segment:
        """The stretch of time that a non-empty run of cells covers."""
        return Segment(cells.start * self.hop_seconds, cells.stop * self.hop_seconds)


@dataclass(frozen=True, slots=True)
class FeatureTrack:
    """One feature vector for every cell of a grid: an array never travels without its clock."""

    values: NDArray[np.floating]
    """(num_cells, dim)"""
    grid: TimeGrid

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != self.grid.num_cells:
            raise ValueError(
                f"features of shape {self.values.shape} cannot cover a grid of {self.grid.num_cells} cells "
                f"({self.grid.hop_seconds} s each); align the encoder's output to the grid first"
            )

    @property
    def dim(self) -> int:
        return int(self.values.shape[1])

    def window(self, segment: Segment) -> FeatureTrack:
        """The cells whose centre lies in the segment, as a track of its own that starts at t = 0."""
        values = self.values[self.grid.cells(segment)]
        return FeatureTrack(values, TimeGrid(self.grid.hop_seconds, len(values)))


def merge_segments(segments: NDArray[np.float64]) -> NDArray[np.float64]:
    """The union of segments, (N, 2) seconds, as disjoint segments in order, (M, 2)."""
    merged: list[list[float]] = []
    for start, end in sorted(map(tuple, segments.tolist())):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.asarray(merged, dtype=np.float64).reshape(-1, 2)
