"""Layers over padded cells: nothing that stands outside a clip is ever read.

Shapes: B clips, L cells, C channels. Values outside `valid` are zero before and after every layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def halved(valid: Tensor) -> Tensor:
    """(B, L) -> (B, ceil(L / 2)): the cells that a stride of 2 keeps, as long as clips start at cell 0."""
    return valid[:, ::2]


class MaskedConv(nn.Module):
    """A convolution over the cells of each clip, channels last; a stride of 2 keeps the even cells."""

    def __init__(self, dim_in: int, dim_out: int, kernel_cells: int, *, stride: int = 1, depthwise: bool = False):
        super().__init__()
        self.stride = stride
        groups = dim_in if depthwise else 1
        self.convolution = nn.Conv1d(
            dim_in, dim_out, kernel_cells, stride=stride, padding=kernel_cells // 2, groups=groups
        )

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (B, L, C_in), valid (B, L) of the input -> (B, ceil(L / stride), C_out)."""
        return self.convolution(x.mT).mT * valid[:, :: self.stride, None]  # type: ignore[no-any-return]


def max_pooled(x: Tensor, valid: Tensor) -> Tensor:
    """(B, L, C) -> (B, ceil(L / 2), C): the largest of three cells around every even one; zero outside the clip."""
    low = torch.finfo(x.dtype).min
    pooled = F.max_pool1d(x.masked_fill(~valid[..., None], low).mT, 3, stride=2, padding=1).mT
    return torch.where(halved(valid)[..., None], pooled, 0.0)


class FeedForward(nn.Sequential):
    """Two linear layers around a GELU."""

    def __init__(self, dim: int, expansion: int) -> None:
        super().__init__(nn.Linear(dim, expansion * dim), nn.GELU(), nn.Linear(expansion * dim, dim))


class Scale(nn.Module):
    """One trained factor."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
