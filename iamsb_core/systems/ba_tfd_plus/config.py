"""What the boundary-matching system is made of; "BA-TFD+" marks values that are the published system's."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class MapConfig:
    """The boundary map: one answer for every start and every duration."""

    num_durations: int = 50
    """longest proposal, in cells of the picture's grid; BA-TFD+ has 40 of 40 ms each"""
    num_samples: int = 10
    """features read along a proposal (BA-TFD+)"""
    extension: float = 0.25
    """read this share of the duration beyond either end as well: a boundary shows from both sides"""
    sample_dim: int = 24
    hidden_dim: int = 96
    num_heads: int = 4

    def __post_init__(self) -> None:
        if min(self.num_durations, self.num_samples - 1) < 1:
            raise ValueError(f"a map needs a duration and two samples, got {self.num_durations} and {self.num_samples}")
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"hidden_dim must be a multiple of num_heads, got {self.hidden_dim} and {self.num_heads}")


@dataclass(frozen=True, kw_only=True)
class BaTfdLossConfig:
    """Weights of the losses; the defaults are BA-TFD+'s."""

    fused_map: float = 1.0
    stream_map: float = 1.0
    frame: float = 2.0
    contrast: float = 0.1
    margin: float = 0.99
    """distance that sound and picture of a forged cell should keep"""
    positive_weight: float = 1.0
    """of proposals that overlap a forgery by half or more"""


@dataclass(frozen=True, kw_only=True)
class BaTfdOutputConfig:
    """From maps to proposals; the soft-NMS is LAV-DF's, which depends on the width."""

    num_candidates: int = 300
    sigma: float = 0.7234
    width_tiou: tuple[float, float] = (0.1968, 0.4123)
    max_proposals: int = 100


@dataclass(frozen=True, kw_only=True)
class BaTfdConfig:
    """The whole system."""

    dim: int = 256
    num_heads: int = 4
    num_layers: int = 4
    window_cells: int = 32
    expansion: int = 2
    feature_masking: float = 0.1
    dropout: float = 0.1
    maps: MapConfig = field(default_factory=MapConfig)
    loss: BaTfdLossConfig = field(default_factory=BaTfdLossConfig)
    output: BaTfdOutputConfig = field(default_factory=BaTfdOutputConfig)


def paper() -> BaTfdConfig:
    """For a GPU."""
    return BaTfdConfig()


def compact() -> BaTfdConfig:
    """Small enough to train on two CPU cores in minutes."""
    return BaTfdConfig(
        dim=64,
        num_layers=2,
        maps=MapConfig(sample_dim=12, hidden_dim=32),
        loss=BaTfdLossConfig(positive_weight=4.0),
    )


PRESETS = {"paper": paper, "compact": compact}
