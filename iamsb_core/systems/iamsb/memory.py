"""What the bridges read of a stream: neck features with shared keys and values, edge features, the fine track.

Shapes: B clips, L cells, H heads, d width, e edge width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Track:
    """Values that are sampled between cells, with the clip's clock."""

    values: Tensor
    """(B, L, C)"""
    num_cells: Tensor
    """(B,) long: cells that exist"""
    length_cells: Tensor
    """(B,) float: the clip's duration in cells; what a share of 1 means"""

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Track:
        return Track(function(self.values), function(self.num_cells), function(self.length_cells))


@dataclass(frozen=True)
class StreamMemory:
    """One stream of a batch, computed once per clip; clips start at cell 0."""

    cells: Tensor
    """(B, L, d)"""
    key: Tensor
    """(B, H, L, d / H)"""
    value: Tensor
    bias: Tensor
    """(B, 1, 1, L): key bias of the padding"""
    valid: Tensor
    """(B, L)"""
    edges: Track
    fine: Track | None
    present: Tensor
    """(B,) bool"""
    duration_seconds: Tensor
    """(B,) float"""

    def take(self, index: Tensor) -> StreamMemory:
        """The clips of `index`, in its order."""
        return self._mapped(lambda x: x.index_select(0, index))

    def first(self, num_clips: int) -> StreamMemory:
        """The first clips, without copying."""
        return self._mapped(lambda x: x[:num_clips])

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> StreamMemory:
        """A copy with every tensor through the function."""
        return StreamMemory(
            cells=function(self.cells),
            key=function(self.key),
            value=function(self.value),
            bias=function(self.bias),
            valid=function(self.valid),
            edges=self.edges.mapped(function),
            fine=None if self.fine is None else self.fine.mapped(function),
            present=function(self.present),
            duration_seconds=function(self.duration_seconds),
        )
