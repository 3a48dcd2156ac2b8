"""What FPN-Transformer is made of; the paper's values as defaults. "Ours" marks what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from iamsb_core.systems.pyramid.config import DecodingConfig, PyramidLossConfig, TargetConfig


def _loss() -> PyramidLossConfig:
    """0.01 focal + DIoU, as paper and code agree."""
    return PyramidLossConfig(classification_weight=0.01)


def _decoding() -> DecodingConfig:
    """Whatever overlaps a better proposal goes, with voting at 0.6."""
    return DecodingConfig(num_candidates=2500, suppression="hard", hard_tiou=0.01, voting_tiou=0.6, max_proposals=35)


@dataclass(frozen=True, kw_only=True)
class FpnTransformerConfig:
    """The whole system. Raises ValueError for what cannot be built."""

    dim: int = 512
    num_heads: int = 4
    theta: float = 0.6
    """share of the difference in the embedding's convolutions; 0 is a plain convolution"""
    difference: Literal["central", "telescoped"] = "central"
    """central: every neighbour's difference to the cell; telescoped: what the published code computes"""
    num_embedding_layers: int = 2
    num_stem_blocks: int = 2
    """blocks at full resolution; with num_levels - 1 that halve it they are the paper's 6"""
    num_levels: int = 5
    window_cells: int | None = 32
    """cells that a cell sees, on its own level (16, 32, 64, 128); None: the whole clip, as in the published code"""
    recurrent: bool = True
    """a bidirectional LSTM in every block"""
    expansion: int = 4
    num_head_layers: int = 2
    audio_positions: bool = False
    visual_positions: bool = True
    """absolute positions are added to the stream's embedding"""
    feature_masking: float = 0.0
    """share of feature dims hidden per clip in training (ours)"""
    drop_share: float = 0.1
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: PyramidLossConfig = field(default_factory=_loss)
    decoding: DecodingConfig = field(default_factory=_decoding)

    def __post_init__(self) -> None:
        if self.dim % (2 * self.num_heads):
            raise ValueError(f"dim must be a multiple of 2 * num_heads, got {self.dim} and {self.num_heads}")
        if not 0.0 <= self.theta <= 1.0:
            raise ValueError(f"theta is a share, in [0, 1], got {self.theta}")
        if min(self.num_levels, self.num_embedding_layers) < 1:
            raise ValueError("the pyramid needs an embedding layer and a level, at least")


def paper() -> FpnTransformerConfig:
    """As the paper says."""
    return FpnTransformerConfig()


def published() -> FpnTransformerConfig:
    """As the published code does: attention to the whole clip, 6 levels, both streams' segments side by side."""
    decoding = DecodingConfig(
        num_candidates=2500,
        suppression="hard",
        hard_tiou=0.01,
        voting_tiou=0.6,
        max_proposals=35,
        fusion="union",
    )
    return FpnTransformerConfig(
        difference="telescoped", num_stem_blocks=1, num_levels=6, window_cells=None, decoding=decoding
    )


def compact() -> FpnTransformerConfig:
    """Small enough to train on two CPU cores in minutes.

    Its focal loss counts in full (ours): at 0.01 the audio model finds next to nothing on a few hundred clips.
    """
    return FpnTransformerConfig(
        dim=96,
        num_stem_blocks=1,
        num_levels=5,
        expansion=2,
        feature_masking=0.1,
        loss=PyramidLossConfig(classification_weight=1.0),
    )


PRESETS = {"paper": paper, "published": published, "compact": compact}
