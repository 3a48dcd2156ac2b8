"""The transformer block of a pyramid (after ActionFormer, Zhang et al., ECCV 2022): convolve, attend locally, halve.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.systems.convolution import MaskedConv
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.attention import LocalAttention
from iamsb_core.systems.pyramid.layers import FeedForward, max_pooled


class ConvolutionalAttention(nn.Module):
    """Queries, keys and values through a depthwise convolution first, which says what is left and what is right.

    With a stride of 2 the convolution keeps every other cell, so attention runs on the coarser level.
    """

    def __init__(self, dim: int, num_heads: int, window_cells: int | None, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.convolutions = nn.ModuleList(MaskedConv(dim, dim, 3, stride=stride, depthwise=True) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.attention = LocalAttention(dim, num_heads, window_cells)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, d) -> (B, ceil(L / stride), d)."""
        parts = [norm(convolution(x, valid)) for norm, convolution in zip(self.norms, self.convolutions, strict=True)]
        kept = valid[:, :: self.stride]
        return self.attention(*parts, kept) * kept[..., None]  # type: ignore[no-any-return]


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each a residual; with a stride of 2 the residual is pooled."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_cells: int | None,
        *,
        expansion: int = 4,
        stride: int = 1,
        drop_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.stride, self.drop_share = stride, drop_share
        self.attention = ConvolutionalAttention(dim, num_heads, window_cells, stride=stride)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.feed_forward = FeedForward(dim, expansion)

    def forward(self, x: Tensor, valid: Tensor, noise: Noise) -> Tensor:
        """x (B, L, d), valid (B, L) -> (B, ceil(L / stride), d)."""
        attended = self.attention(self.norms[0](x) * valid[..., None], valid)
        skipped = x if self.stride == 1 else max_pooled(x, valid)
        kept = valid[:, :: self.stride, None]
        x = skipped + attended * self._keep(x, noise)
        return torch.addcmul(x, kept * self._keep(x, noise), self.feed_forward(self.norms[1](x)))

    def _keep(self, x: Tensor, noise: Noise) -> Tensor:
        """(B, 1, 1): 0 skips the branch for a clip in training."""
        return noise.keep((len(x), 1, 1), self.drop_share, x)
