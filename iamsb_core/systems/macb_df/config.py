"""What MACB-DF is made of. The paper gives no widths, kernels or weights, so every number here is ours."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class KernelConfig:
    """One large kernel, taken apart as local x dilated (Guo et al., Visual Attention Network): it reaches
    local + (dilated - 1) * dilation cells at the cost of local + dilated."""

    local: int
    dilated: int
    dilation: int


@dataclass(frozen=True, kw_only=True)
class TemperatureConfig:
    """The contrastive loss's temperature."""

    adaptive: bool = True
    """False: fixed at `initial`"""
    initial: float = 0.07
    lowest: float = 0.02
    highest: float = 0.5
    forgetting: float = 0.98
    """share of the old counts that the variance's posterior and the gradient's history keep at each step"""

    def __post_init__(self) -> None:
        if not 0.0 < self.lowest < self.initial < self.highest:
            raise ValueError(
                f"temperatures must rise from 0: lowest {self.lowest}, initial {self.initial}, highest {self.highest}"
            )


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Running centres of genuine and forged embeddings, and the fusion weights out of the distances to them."""

    adaptive_weights: bool = True
    """False: every stream that is there weighs the same"""
    momentum: float = 0.98
    mahalanobis_share: float = 0.5
    """of the composite distance; the rest is the cosine distance"""
    num_heads: int = 2
    dim: int = 16


@dataclass(frozen=True, kw_only=True)
class ParetoConfig:
    """How the multimodal and the unimodal gradient of a stream's encoder become one (OM-Pareto)."""

    enabled: bool = True
    """False: they are added; the angle between them is reported all the same"""
    orthogonality: float = 4.0
    """of conflicting gradients, min(1, this x |cosine|) of each one's part along the other is taken away"""
    amplification: float = 1.0
    """length of the combined gradient, as a multiple of that of two orthogonal ones of these lengths"""


@dataclass(frozen=True, kw_only=True)
class MacbLossConfig:
    """Weights of the losses."""

    frame: float = 1.0
    clip: float = 0.5
    contrast: float = 0.1
    unimodal: float = 0.5
    """of a stream's own losses against the fused one's"""
    positive_weight: float = 4.0
    """of forged cells: they are few"""


@dataclass(frozen=True, kw_only=True)
class MacbOutputConfig:
    """From frame scores to proposals."""

    sigma: float = 0.3
    """of soft suppression, exp(-tiou^2 / sigma)"""
    fusion_sigma: float = 0.5
    max_proposals: int = 100


@dataclass(frozen=True, kw_only=True)
class MacbConfig:
    """The whole system."""

    dim: int = 192
    num_heads: int = 4
    num_stages: int = 3
    """each: large-kernel attention in both streams, then fusion, which guides the next stage"""
    window_cells: int = 32
    """of the attention inside a fusion"""
    expansion: int = 2
    num_bands: int = 16
    """the audio stream's channels are laid out as this many ordered bands for its two-dimensional kernels"""
    kernels: tuple[KernelConfig, ...] = (
        KernelConfig(local=5, dilated=5, dilation=2),
        KernelConfig(local=5, dilated=7, dilation=3),
        KernelConfig(local=7, dilated=9, dilation=4),
    )
    embedding_dim: int = 64
    """of the contrastive space"""
    feature_masking: float = 0.1
    """share of feature dims zeroed per clip in training"""
    dropout: float = 0.1
    temperature: TemperatureConfig = field(default_factory=TemperatureConfig)
    clusters: ClusterConfig = field(default_factory=ClusterConfig)
    pareto: ParetoConfig = field(default_factory=ParetoConfig)
    loss: MacbLossConfig = field(default_factory=MacbLossConfig)
    output: MacbOutputConfig = field(default_factory=MacbOutputConfig)

    def __post_init__(self) -> None:
        if self.dim % self.num_heads or self.dim % self.num_bands:
            raise ValueError(
                f"dim must be a multiple of num_heads and of num_bands, got {self.dim}, {self.num_heads} and "
                f"{self.num_bands}"
            )
        if self.num_stages < 1:
            raise ValueError(f"at least one stage finds something, got num_stages {self.num_stages}")


def paper() -> MacbConfig:
    """For a GPU."""
    return MacbConfig()


def compact() -> MacbConfig:
    """Small enough to train on two CPU cores in minutes."""
    return MacbConfig(
        dim=64,
        num_stages=2,
        num_bands=8,
        embedding_dim=32,
        kernels=(KernelConfig(local=5, dilated=5, dilation=2), KernelConfig(local=5, dilated=7, dilation=3)),
    )


PRESETS = {"paper": paper, "compact": compact}
