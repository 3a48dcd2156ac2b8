"""A stored clip's numbers where they lie, for `iamsb_core.data.rows`: read when they are written into a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.rows import LocatedTrack
from iamsb_core.timeline import Segment, TimeGrid
from storage.pack import FINE_VALUES, VALUES, Pack

Writer = Callable[[str, slice, NDArray[np.float32]], None]
"""(name of the track's array, cells of the clip, out) writes them into out, (cells, dim)"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredRows:
    """The numbers of one track of one clip, or of a window of it."""

    write_cells: Writer
    name: str
    cells: slice
    hop_seconds: float
    dim: int

    @property
    def grid(self) -> TimeGrid:
        return TimeGrid(self.hop_seconds, self.cells.stop - self.cells.start)

    def window(self, segment: Segment) -> StoredRows:
        """Those of the cells whose centre lies in the segment."""
        inner = self.grid.cells(segment)
        start = self.cells.start + inner.start
        return replace(self, cells=slice(start, max(start, self.cells.start + inner.stop)))

    def write(self, out: NDArray[np.float32]) -> None:
        """Raises DamagedFeaturesError, and KeyError or ValueError where the clip has no features any more."""
        self.write_cells(self.name, self.cells, out)


def located(pack: Pack, position: int, write_cells: Writer) -> LocatedTrack:
    """The whole clip at this position of the pack."""

    def rows(name: str, hop_seconds: float) -> StoredRows:
        return StoredRows(
            write_cells=write_cells,
            name=name,
            cells=slice(0, pack.num_cells(name, position)),
            hop_seconds=hop_seconds,
            dim=pack.layouts[name].dim,
        )

    main = rows(VALUES, pack.stream.hop_seconds)
    return LocatedTrack(main, rows(FINE_VALUES, pack.stream.fine_hop_seconds) if FINE_VALUES in pack.layouts else None)
