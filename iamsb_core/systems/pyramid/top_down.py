"""The way down a pyramid (FPN, Lin et al., CVPR 2017): what coarse levels know is added to the finer ones.

Shapes: B clips, L cells of a level, d width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from iamsb_core.systems.convolution import MaskedConv
from iamsb_core.systems.pyramid.levels import Level


class TopDown(nn.Module):
    """Each level through a linear layer, plus the next coarser one repeated twice, through a convolution and a norm."""

    def __init__(self, dim: int, num_levels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_levels))
        self.smooth = nn.ModuleList(MaskedConv(dim, dim, 3, depthwise=True) for _ in range(num_levels))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_levels))

    def forward(self, levels: Sequence[Level]) -> list[Level]:
        """Finest first, as they came."""
        above: Tensor | None = None
        joined = []
        for level, lateral in reversed(list(zip(levels, self.lateral, strict=True))):
            x = lateral(level.values)
            if above is not None:
                x = x + repeated(above, x.shape[1])
            above = x * level.valid[..., None]
            joined.append(above)
        smoothed = [
            norm(x + smooth(x, level.valid)) * level.valid[..., None]
            for x, level, smooth, norm in zip(reversed(joined), levels, self.smooth, self.norms, strict=True)
        ]
        return [Level(values, level.valid, level.stride_cells) for values, level in zip(smoothed, levels, strict=True)]


def repeated(x: Tensor, num_cells: int) -> Tensor:
    """(B, L, d) -> (B, num_cells, d): each cell stands for the two finer ones under it."""
    return torch.repeat_interleave(x, 2, dim=1)[:, :num_cells]
