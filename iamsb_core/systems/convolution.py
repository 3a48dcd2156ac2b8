"""Convolutions over padded cells: nothing that stands outside a clip is ever read.

Shapes: B clips, L cells, C channels, D features, d width. Values outside `valid` are zero after every layer.
"""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn


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


class Embedding(nn.Module):
    """Convolutions of three cells with norm and ReLU, from features to the model's width."""

    def __init__(self, dim_in: int, dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [dim_in] + [dim] * num_layers
        self.convolutions = nn.ModuleList(MaskedConv(before, after, 3) for before, after in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_layers))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, d)."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x, valid))) * valid[..., None]
        return x
