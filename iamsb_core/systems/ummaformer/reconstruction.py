"""What real clips look like, learned from real clips alone, and attention that sees where a clip does not look so.

Shapes: B clips, L cells, D features, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.convolution import MaskedConv
from iamsb_core.systems.pyramid.attention import LocalAttention
from iamsb_core.systems.pyramid.layers import FeedForward, halved
from iamsb_core.systems.pyramid.top_down import repeated


class Interpolator(nn.Module):
    """Convolutions that halve the clip a few times and as many that double it again: details must be inferred."""

    def __init__(self, dim: int, num_halvings: int, first_dim: int, max_dim: int) -> None:
        super().__init__()
        widths = [dim] + [min(first_dim * 2**k, max_dim) for k in range(num_halvings)]
        self.down = nn.ModuleList(MaskedConv(widths[k], widths[k + 1], 3, stride=2) for k in range(num_halvings))
        self.up = nn.ModuleList(MaskedConv(widths[k + 1], widths[k], 3) for k in reversed(range(num_halvings)))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, D), valid (B, L) -> (B, L, D)."""
        seen = [valid]
        for convolution in self.down:
            x = F.leaky_relu(convolution(x, seen[-1]), 0.1)
            seen.append(halved(seen[-1]))
        seen.pop()
        for number, convolution in enumerate(self.up):
            finer = seen.pop()
            x = convolution(repeated(x, finer.shape[1]) * finer[..., None], finer)
            x = x if number == len(self.up) - 1 else F.leaky_relu(x, 0.1)
        return x


class AbnormalAttention(nn.Module):
    """Cross attention with the cells as queries and values and their reconstructions as keys, and a feed-forward."""

    def __init__(self, dim: int, num_heads: int, window_cells: int | None, expansion: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.attention = LocalAttention(dim, num_heads, window_cells)
        self.feed_forward = FeedForward(dim, expansion)

    def forward(self, x: Tensor, reconstructed: Tensor, valid: Tensor) -> Tensor:
        """Both (B, L, d), embedded alike -> (B, L, d)."""
        mask = valid[..., None]
        query = self.norms[0](x)
        x = x + mask * self.attention(query, self.norms[1](reconstructed), query, valid)
        return torch.addcmul(x, mask, self.feed_forward(self.norms[2](x)))


def reconstruction_error(x: Tensor, reconstructed: Tensor, known: Tensor, dims: tuple[int, int]) -> Tensor:
    """Mean |reconstruction - x| of every clip over its cells and the features of the streams it has, (B,).

    known (B, L, 2) says where each stream has cells, dims how many features each has; 0 for a clip without any.
    """
    there = torch.cat([known[..., place, None].expand(-1, -1, dim) for place, dim in enumerate(dims)], dim=-1)
    error = (reconstructed - x).abs() * there
    return error.sum(dim=(1, 2)) / there.sum(dim=(1, 2)).clamp_min(1)
