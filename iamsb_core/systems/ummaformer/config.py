"""What UMMAFormer is made of; the paper's values as defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from iamsb_core.systems.pyramid.config import DecodingConfig, PyramidLossConfig, TargetConfig


def _loss() -> PyramidLossConfig:
    return PyramidLossConfig(regression_weight=2.0, label_smoothing=0.1)


def _decoding() -> DecodingConfig:
    return DecodingConfig(num_candidates=2000, sigma=0.75, voting_tiou=0.9)


@dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """The network that learns what real clips look like."""

    num_halvings: int = 5
    max_dim: int = 2048
    """widths double with every halving, up to this"""
    window_cells: int | None = None
    """cells that the abnormal attention sees; None: the whole clip"""
    weight: float = 1.0
    """of the reconstruction loss"""


@dataclass(frozen=True, kw_only=True)
class UmmaFormerConfig:
    """The whole system. Raises ValueError for what cannot be built."""

    dim: int = 256
    num_heads: int = 4
    num_embedding_layers: int = 2
    num_stem_blocks: int = 2
    num_levels: int = 6
    window_cells: int = 7
    """cells that a cell sees, on its own level; the coarsest level sees the whole clip"""
    expansion: int = 4
    num_head_layers: int = 2
    clip_weight: float = 0.1
    """of the focal loss of real or fake"""
    feature_masking: float = 0.0
    """share of feature dims hidden per clip in training (ours)"""
    drop_share: float = 0.1
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: PyramidLossConfig = field(default_factory=_loss)
    decoding: DecodingConfig = field(default_factory=_decoding)

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise ValueError(f"dim must be a multiple of num_heads, got {self.dim} and {self.num_heads}")
        if self.num_levels < 2 or self.num_embedding_layers < 1:
            raise ValueError("levels attend to their neighbours: give at least two, and an embedding layer")


def paper() -> UmmaFormerConfig:
    """The published size."""
    return UmmaFormerConfig()


def compact() -> UmmaFormerConfig:
    """Small enough to train on two CPU cores in minutes.

    With ActionFormer's window and hard labels (ours): a clip of some seconds has fewer cells here than 768.
    """
    return UmmaFormerConfig(
        dim=96,
        num_stem_blocks=1,
        num_levels=5,
        window_cells=19,
        expansion=2,
        feature_masking=0.1,
        reconstruction=ReconstructionConfig(num_halvings=3, max_dim=128, window_cells=64),
        loss=PyramidLossConfig(regression_weight=2.0),
        decoding=DecodingConfig(sigma=0.75, voting_tiou=0.9),
    )


PRESETS = {"paper": paper, "compact": compact}
