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
