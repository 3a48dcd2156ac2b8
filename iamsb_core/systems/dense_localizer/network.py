"""One stream's localiser: embedding of both streams' features on the own clock, trunk, levels, heads.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

from torch import Tensor, nn

from iamsb_core.systems.dense_localizer.config import DenseLocalizerConfig
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.heads import DualHead, StreamAnswers
from iamsb_core.systems.pyramid.inputs import resampled
from iamsb_core.systems.pyramid.trunk import Embedding, Trunk


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
        own: tuple[Tensor, Tensor, float],
        other: tuple[Tensor, Tensor, float],
        duration_seconds: Tensor,
        noise: Noise,
    ) -> StreamAnswers:
        """own and other: features (B, L, D), valid (B, L), hop in seconds."""
        values, valid, hop_seconds = own
        x = self.embedding(values, valid)
        if self.other is not None:
            other_values, other_valid, other_hop = other
            seen = self.other(other_values, other_valid)
            x = x + resampled(seen, other_valid, other_hop, x.shape[1], hop_seconds) * valid[..., None]
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.config.drop_share, x)
        levels = self.trunk(x, valid, noise)
        return self.head(levels, duration_seconds.float() / hop_seconds, valid.any(dim=1))  # type: ignore[no-any-return]
