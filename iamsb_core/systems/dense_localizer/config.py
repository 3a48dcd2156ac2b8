"""What the dense localiser is made of; ActionFormer's published values as defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

from iamsb_core.systems.pyramid.config import DecodingConfig, PyramidLossConfig, TargetConfig


def _decoding() -> DecodingConfig:
    """Without ActionFormer's voting at 0.7 (ours): means of neighbours cost half of AP@0.95 on forged clips."""
    return DecodingConfig(voting_tiou=None)


@dataclass(frozen=True, kw_only=True)
class DenseLocalizerConfig:
    """The whole system. Raises ValueError for what cannot be built."""

    dim: int = 512
    num_heads: int = 4
    num_embedding_layers: int = 2
    num_stem_blocks: int = 2
    num_levels: int = 6
    """strides 1, 2, 4, ... cells"""
    window_cells: int | None = 19
    """cells that a cell sees, on its own level; None: all"""
    expansion: int = 4
    num_head_layers: int = 2
    top_down: bool = False
    """coarser levels are added to finer ones before the heads, as in FPN; ActionFormer has none"""
    cross_modal: bool = True
    """a stream's localiser also reads the other stream's features"""
    use_fine: bool = True
    """the fine track's features stand beside those of the cell that they lie in"""
    feature_masking: float = 0.1
    """share of feature dims hidden per clip in training (ours)"""
    drop_share: float = 0.1
    """share of embedded channels and of block branches dropped per clip in training"""
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: PyramidLossConfig = field(default_factory=PyramidLossConfig)
    decoding: DecodingConfig = field(default_factory=_decoding)

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise ValueError(f"dim must be a multiple of num_heads, got {self.dim} and {self.num_heads}")
        if min(self.num_levels, self.num_embedding_layers) < 1:
            raise ValueError("the pyramid needs an embedding layer and a level, at least")


def paper() -> DenseLocalizerConfig:
    """The published size."""
    return DenseLocalizerConfig()


def compact() -> DenseLocalizerConfig:
    """Small enough to train on two CPU cores in minutes."""
    return DenseLocalizerConfig(dim=96, num_stem_blocks=1, num_levels=5, expansion=2)


PRESETS = {"paper": paper, "compact": compact}
