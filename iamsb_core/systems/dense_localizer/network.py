"""One stream's localiser: embedding of both streams' features on the own clock, trunk, levels, heads.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

from torch import Tensor, nn

from iamsb_core.systems.cells import Cells
from iamsb_core.systems.convolution import Embedding
from iamsb_core.systems.dense_localizer.config import DenseLocalizerConfig
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.heads import DualHead, StreamAnswers
from iamsb_core.systems.pyramid.trunk import Trunk


class StreamLocalizer(nn.Module):
    """Both streams' features, one stream's segments."""

    def __init__(self, own_dim: int, other_dim: int, config: DenseLocalizerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(own_dim, config.dim, config.num_embedding_layers)
        self.other = Embedding(other_dim, config.dim, 1) if config.cross_modal else None
        self.trunk = Trunk(
            config.dim,
            config.num_heads,
            config.window_cells,
            num_stem_blocks=config.num_stem_blocks,
            num_levels=config.num_levels,
            expansion=config.expansion,
            drop_share=config.drop_share,
            top_down=config.top_down,
        )
        self.head = DualHead(config.dim, config.num_levels, config.num_head_layers)

    def forward(
        self,
        own: Cells,
        other: Cells,
        duration_seconds: Tensor,
        noise: Noise,
    ) -> StreamAnswers:
        """Each stream's features on its own clock."""
        x = self.embedding(own.values, own.valid)
        if self.other is not None:
            seen = Cells(self.other(other.values, other.valid), other.valid, other.hop_seconds)
            x = x + seen.at(own)
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.config.drop_share, x)
        levels = self.trunk(x, own.valid, noise)
        return self.head(levels, duration_seconds.float() / own.hop_seconds, own.valid.any(dim=1))  # type: ignore[no-any-return]
