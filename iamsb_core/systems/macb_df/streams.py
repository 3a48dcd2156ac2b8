"""The stages: large-kernel attention in each stream, fusion on a joint grid, and the guidance back.

Shapes: B clips, L cells of a stream, J cells of the joint grid (the picture's hop), d width, M = 2 streams.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.systems.cells import Cells
from iamsb_core.systems.macb_df.config import MacbConfig
from iamsb_core.systems.macb_df.large_kernel import band_block, temporal_block
from iamsb_core.systems.pyramid.attention import LocalAttention


class Fusion(nn.Module):
    """Both streams, weighed, joined with what earlier stages joined, through attention over neighbouring cells."""

    def __init__(self, config: MacbConfig) -> None:
        super().__init__()
        dim = config.dim
        self.streams = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.attention = LocalAttention(dim, config.num_heads, config.window_cells)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, config.expansion * dim), nn.GELU(), nn.Linear(config.expansion * dim, dim)
        )

    def forward(self, joint: Cells, streams: list[Cells], weights: Tensor) -> Cells:
        """weights (B, M); a factor of M keeps the sum's size whatever they are."""
        mask = joint.valid[..., None]
        x = joint.values
        for place, (project, cells) in enumerate(zip(self.streams, streams, strict=True)):
            x = x + 2.0 * weights[:, place, None, None] * project(cells.at(joint)) * mask
        inner = self.norms[0](x)
        x = x + self.attention(inner, inner, inner, joint.valid) * mask
        x = x + self.feed_forward(self.norms[1](x)) * mask
        return Cells(x, joint.valid, joint.hop_seconds)


class Stage(nn.Module):
    """Audio through time-and-band kernels, picture through temporal ones, each gated by what was fused before."""

    def __init__(self, config: MacbConfig) -> None:
        super().__init__()
        dim = config.dim
        self.blocks = nn.ModuleList(
            [
                band_block(dim, config.kernels, config.expansion, config.num_bands),
                temporal_block(dim, config.kernels, config.expansion),
            ]
        )
        self.guides = nn.ModuleList(nn.Linear(dim, dim) for _ in range(2))
        for guide in self.guides:
            assert isinstance(guide, nn.Linear)
            nn.init.zeros_(guide.weight)
            nn.init.zeros_(guide.bias)

    def forward(self, streams: list[Cells], joint: Cells, keep: Tensor) -> list[Cells]:
        """keep (B, 1, 1): 0 skips the blocks for a clip."""
        return [self._one(place, cells, joint, keep) for place, cells in enumerate(streams)]

    def _one(self, place: int, cells: Cells, joint: Cells, keep: Tensor) -> Cells:
        gate = 1.0 + torch.tanh(self.guides[place](joint.at(cells)))
        values = self.blocks[place](cells.values * gate, cells.valid, keep)
        return Cells(values * cells.valid[..., None], cells.valid, cells.hop_seconds)
