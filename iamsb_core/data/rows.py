"""A track's numbers where they lie: they are written once, as float32, straight into the batch that wants them.

An array in memory is one place; a feature store has its own (`storage.stored_rows`), whose numbers stay in the files
until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid


class Rows(Protocol):
    """The numbers of one track, (num_cells, dim), with their clock."""

    @property
    def grid(self) -> TimeGrid: ...

    @property
    def dim(self) -> int: ...

    def window(self, segment: Segment) -> Rows:
        """Those of the cells whose centre lies in the segment, with a clock of their own from t = 0."""
        ...

    def write(self, out: NDArray[np.float32]) -> None:
        """Write all of them into out, (num_cells, dim), whose rows follow one another in memory."""
        ...


@dataclass(frozen=True, slots=True)
class TrackRows:
    """Rows of a track in memory."""

    track: FeatureTrack

    @property
    def grid(self) -> TimeGrid:
        return self.track.grid

    @property
    def dim(self) -> int:
        return self.track.dim

    def window(self, segment: Segment) -> TrackRows:
        return TrackRows(self.track.window(segment))

    def write(self, out: NDArray[np.float32]) -> None:
        write_float32(self.track.values, out)


@dataclass(frozen=True, slots=True)
class LocatedTrack:
    """One clip's features in one stream, whole or a window of it: what an `EncodedTrack` is to numbers at hand."""

    main: Rows
    fine: Rows | None = None

    def window(self, segment: Segment) -> LocatedTrack:
        """The cells whose centre lies in the segment."""
        return LocatedTrack(self.main.window(segment), None if self.fine is None else self.fine.window(segment))


def write_float32(values: NDArray[Any], out: NDArray[np.float32]) -> None:
    """Copy values into out, of the same shape, as float32; neither is changed otherwise.

    Halves go through torch, which uses the processor's own instruction: the same numbers as NumPy's, some 20 times as
    fast.
    """
    if values.dtype == np.float16 and len(values):
        torch.from_numpy(out).copy_(from_dlpack(values))  # from_numpy warns of what is read-only
    else:
        out[...] = values
