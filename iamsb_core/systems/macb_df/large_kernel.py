"""Multi-scale large-kernel attention: over time (MSTLKA), and over time and bands (MFTLKA).

Shapes: B clips, L cells, d width. Values outside `valid` are zero before and after.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from iamsb_core.systems.macb_df.config import KernelConfig


class TemporalKernel(nn.Module):
    """One scale over time: a depthwise convolution, then a dilated one."""

    def __init__(self, dim: int, kernel: KernelConfig) -> None:
        super().__init__()
        self.local = nn.Conv1d(dim, dim, kernel.local, padding=kernel.local // 2, groups=dim)
        reach = kernel.dilation * (kernel.dilated // 2)
        self.dilated = nn.Conv1d(dim, dim, kernel.dilated, padding=reach, dilation=kernel.dilation, groups=dim)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, d) -> (B, L, d)."""
        mask = valid[:, None]
        return (self.dilated(self.local(x.mT) * mask) * mask).mT  # type: ignore[no-any-return]


class BandKernel(nn.Module):
    """One scale over time and bands: the channels stand as d / num_bands maps of (L, num_bands)."""

    def __init__(self, dim: int, kernel: KernelConfig, num_bands: int) -> None:
        super().__init__()
        self.num_bands, maps = num_bands, dim // num_bands
        local, reach = kernel.local, kernel.dilation * (kernel.dilated // 2)
        self.local = nn.Conv2d(maps, maps, (local, 3), padding=(local // 2, 1), groups=maps)
        self.dilated = nn.Conv2d(
            maps, maps, (kernel.dilated, 3), padding=(reach, 1), dilation=(kernel.dilation, 1), groups=maps
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, d) -> (B, L, d)."""
        mask = valid[:, None, :, None]
        maps = x.reshape(*x.shape[:2], -1, self.num_bands).transpose(1, 2)
        return (self.dilated(self.local(maps) * mask) * mask).transpose(1, 2).flatten(2)  # type: ignore[no-any-return]


class LargeKernelBlock(nn.Module):
    """Every cell and channel is weighed by what all scales saw around it; then a feed-forward part. Both residual."""

    def __init__(self, dim: int, scales: Sequence[nn.Module], expansion: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.enter = nn.Linear(dim, dim)
        self.scales = nn.ModuleList(scales)
        self.mix = nn.Linear(len(scales) * dim, dim)
        self.leave = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, expansion * dim), nn.GELU(), nn.Linear(expansion * dim, dim))

    def forward(self, x: Tensor, valid: Tensor, keep: Tensor) -> Tensor:
        """x (B, L, d), keep (B, 1, 1): 0 skips the block for a clip."""
        mask = valid[..., None] * keep
        inner = nn.functional.gelu(self.enter(self.norms[0](x))) * valid[..., None]
        weights = self.mix(torch.cat([scale(inner, valid) for scale in self.scales], dim=-1))
        x = x + mask * self.leave(weights * inner)
        return torch.addcmul(x, mask, self.feed_forward(self.norms[1](x)))


def temporal_block(dim: int, kernels: Sequence[KernelConfig], expansion: int) -> LargeKernelBlock:
    """The picture's block."""
    return LargeKernelBlock(dim, [TemporalKernel(dim, kernel) for kernel in kernels], expansion)


def band_block(dim: int, kernels: Sequence[KernelConfig], expansion: int, num_bands: int) -> LargeKernelBlock:
    """The sound's block."""
    return LargeKernelBlock(dim, [BandKernel(dim, kernel, num_bands) for kernel in kernels], expansion)
