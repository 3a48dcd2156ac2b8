"""Where things are in time: embeddings of positions, and features read between cells.

Shapes: B clips, L cells, P positions, C channels. A segment is (start, end) in shares of the clip's duration.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoids(position: Tensor, dim: int, num_octaves: float = 9.0) -> Tensor:
    """(...) shares -> (..., dim): sines and cosines from half a period per clip up, in float32."""
    octaves = torch.linspace(0.0, num_octaves, dim // 2, device=position.device)
    angles = position.float()[..., None] * (math.pi * torch.exp2(octaves))
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class SegmentEmbedding(nn.Module):
    """A segment as d numbers: both its ends and its length."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(2 * dim, dim)

    def forward(self, segments: Tensor) -> Tensor:
        """(..., 2) -> (..., d)."""
        half = self.dim // 2
        log_length = (segments[..., 1] - segments[..., 0]).clamp_min(1e-4).log() / math.log(1e4)
        parts = [sinusoids(segments, half).flatten(-2), sinusoids(log_length, self.dim)]
        return self.project(torch.cat(parts, dim=-1))  # type: ignore[no-any-return]


class TimeEmbedding(nn.Module):
    """Bridge time t in [0, 1] as d numbers."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.project = nn.Linear(dim, dim)

    def forward(self, t: Tensor) -> Tensor:
        """(...) -> (..., d)."""
        return self.project(sinusoids(t, self.dim, num_octaves=4.0))  # type: ignore[no-any-return]


def sample_cells(values: Tensor, positions: Tensor, num_cells: Tensor) -> Tensor:
    """Values between cells, linearly: (B, L, C) at positions (B, P), in cells -> (B, P, C).

    Cell i has its centre at i + 0.5. Beyond the first and the last of a clip's num_cells (B,) the edge value holds,
    so padding is never read.
    """
    last = (num_cells - 1).clamp_min(0)[:, None]
    place = torch.minimum((positions.float() - 0.5).clamp_min(0.0), last.float())
    below = place.floor()
    share = (place - below)[..., None].to(values.dtype)
    first_row = torch.arange(len(values), device=values.device)[:, None] * values.shape[1]
    left = first_row + below.long()
    right = first_row + torch.minimum(below.long() + 1, last)
    flat = values.flatten(0, 1)
    at_left = flat.index_select(0, left.flatten()).view(*left.shape, -1)
    at_right = flat.index_select(0, right.flatten()).view(*right.shape, -1)
    return at_left + share * (at_right - at_left)


def window_positions(boundaries: Tensor, half_window: Tensor, num_points: int) -> Tensor:
    """Evenly spaced positions around boundaries: (B, N, 2) and (B, N, 1) -> (B, N, 2, num_points), same unit."""
    return boundaries[..., None] + half_window[..., None] * offsets(num_points, boundaries.device)


def offsets(num_points: int, device: torch.device) -> Tensor:
    """(num_points,) from -1 to 1."""
    return torch.linspace(-1.0, 1.0, num_points, device=device)
