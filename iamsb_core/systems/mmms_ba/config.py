"""What MMMS-BA is made of; the published code's values as defaults, "ours" where it has none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from iamsb_core.systems.pyramid.config import DecodingConfig, PyramidLossConfig, TargetConfig

SequenceName = Literal["audio", "face", "lips"]
SEQUENCES: tuple[SequenceName, ...] = ("audio", "face", "lips")


@dataclass(frozen=True, kw_only=True)
class MmmsBaConfig:
    """The whole system."""

    mode: Literal["mmms-ba", "mmus-sa", "ms-sa"] = "mmms-ba"
    """mmms-ba: pairs of modalities attend to each other over all cells; mmus-sa: the modalities of one cell to each
    other; ms-sa: each modality to itself over all cells"""
    modalities: tuple[SequenceName, ...] | None = None
    """None: all that the features have; lips need features with them, such as the pair `handcrafted-lips`"""
    hidden_dim: int = 300
    """of the recurrent layer, in each direction"""
    dim: int = 100
    dropout: float = 0.5
    """of a clip's channels, after the recurrent layer and after the dense one"""
    feature_masking: float = 0.1
    """share of feature dims zeroed per clip in training (ours)"""
    head_dim: int = 256
    num_head_layers: int = 1
    """the published head is one dense layer; ours looks at the neighbouring cells once"""
    targets: TargetConfig = field(default_factory=TargetConfig)
    loss: PyramidLossConfig = field(default_factory=PyramidLossConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)

    def __post_init__(self) -> None:
        chosen = SEQUENCES if self.modalities is None else self.modalities
        if not chosen or len(set(chosen)) < len(chosen):
            raise ValueError(f"name at least one of {', '.join(SEQUENCES)}, each once, got {list(chosen)}")
        if self.mode != "ms-sa" and len(chosen) < 2:
            raise ValueError(f"{self.mode} needs two modalities that attend to each other; one alone takes mode ms-sa")


def paper() -> MmmsBaConfig:
    """The published sizes."""
    return MmmsBaConfig()


def compact() -> MmmsBaConfig:
    """Small enough to train on two CPU cores in minutes."""
    return MmmsBaConfig(hidden_dim=64, dim=48, head_dim=96, dropout=0.2)


PRESETS = {"paper": paper, "compact": compact}
