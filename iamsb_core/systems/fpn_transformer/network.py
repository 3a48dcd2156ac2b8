"""One stream's model: difference embedding, R-TLM pyramid, dual head.

Shapes: B clips, L cells, D features, d width.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.fpn_transformer.blocks import RecurrentBlock
from iamsb_core.systems.fpn_transformer.config import FpnTransformerConfig
from iamsb_core.systems.fpn_transformer.difference import TemporalDifferenceConv
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.heads import DualHead, StreamAnswers
from iamsb_core.systems.pyramid.top_down import TopDown
from iamsb_core.systems.pyramid.trunk import grown
from iamsb_core.systems.sampling import sinusoids

_POSITION_CELLS = 1024.0
"""of the slowest sine's half period: the published length of a clip"""
_POSITION_OCTAVES = 10.0


class StreamModel(nn.Module):
    """Reads one stream alone."""

    def __init__(self, dim_in: int, config: FpnTransformerConfig, *, positions: bool) -> None:
        super().__init__()
        dim, self.config, self.positions = config.dim, config, positions
        widths = [dim_in] + [dim] * (config.num_embedding_layers - 1)
        self.embedding = nn.ModuleList(
            TemporalDifferenceConv(width, dim, theta=config.theta, difference=config.difference) for width in widths
        )
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in widths)

        def block(stride: int) -> RecurrentBlock:
            return RecurrentBlock(
                dim,
                config.num_heads,
                config.window_cells,
                recurrent=config.recurrent,
                expansion=config.expansion,
                stride=stride,
                drop_share=config.drop_share,
            )

        self.stem = nn.ModuleList(block(1) for _ in range(config.num_stem_blocks))
        self.branch = nn.ModuleList(block(2) for _ in range(config.num_levels - 1))
        self.top_down = TopDown(dim, config.num_levels)
        self.head = DualHead(dim, config.num_levels, config.num_head_layers)

    def forward(self, x: Tensor, valid: Tensor, length_cells: Tensor, noise: Noise) -> StreamAnswers:
        """x (B, L, D), valid (B, L), length_cells (B,)."""
        for convolution, norm in zip(self.embedding, self.norms, strict=True):
            x = F.relu(norm(convolution(x, valid))) * valid[..., None]
        if self.positions:
            x = x + self._positions(x) * valid[..., None]
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.config.drop_share, x)
        for block in self.stem:
            x = block(x, valid, noise)
        levels = self.top_down(grown(x, valid, self.branch, noise))
        return cast(StreamAnswers, self.head(levels, length_cells, valid.any(dim=1)))

    def _positions(self, x: Tensor) -> Tensor:
        """(L, d), of unit length as a feature's."""
        cells = torch.arange(x.shape[1], device=x.device) / _POSITION_CELLS
        scale = 1.0 / math.sqrt(x.shape[-1])
        return sinusoids(cells, x.shape[-1], _POSITION_OCTAVES) * scale
