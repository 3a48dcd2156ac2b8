"""Parallel cross attention between levels: every level asks the finer and the coarser one at the same time.

Shapes: B clips, L cells of a level, d width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from iamsb_core.systems.pyramid.attention import LocalAttention
from iamsb_core.systems.pyramid.layers import max_pooled
from iamsb_core.systems.pyramid.levels import Level
from iamsb_core.systems.pyramid.top_down import repeated


class CrossLevels(nn.Module):
    """x_l + Attention(x_l, finer neighbour pooled) + Attention(x_l, coarser neighbour repeated)."""

    def __init__(self, dim: int, num_heads: int, num_levels: int, window_cells: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_levels))
        self.from_finer = nn.ModuleList(LocalAttention(dim, num_heads, window_cells) for _ in range(num_levels - 1))
        self.from_coarser = nn.ModuleList(LocalAttention(dim, num_heads, window_cells) for _ in range(num_levels - 1))

    def forward(self, levels: Sequence[Level]) -> list[Level]:
        """Finest first, as they came."""
        normed = [norm(level.values) * level.valid[..., None] for norm, level in zip(self.norms, levels, strict=True)]
        joined = []
        for place, level in enumerate(levels):
            x = level.values
            if place > 0:
                finer = max_pooled(normed[place - 1], levels[place - 1].valid)
                x = x + self._asked(self.from_finer[place - 1], normed[place], finer, level.valid)
            if place < len(levels) - 1:
                coarser = repeated(normed[place + 1], x.shape[1]) * level.valid[..., None]
                x = x + self._asked(self.from_coarser[place], normed[place], coarser, level.valid)
            joined.append(Level(x, level.valid, level.stride_cells))
        return joined

    def _asked(self, attention: nn.Module, own: Tensor, neighbour: Tensor, valid: Tensor) -> Tensor:
        attended: Tensor = attention(own, neighbour, neighbour, valid)
        return attended * valid[..., None]
