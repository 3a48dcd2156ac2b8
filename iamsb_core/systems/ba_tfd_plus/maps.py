"""The boundary map of a stream: how well [start, start + duration] covers a forgery, for all of them at once.

The published layer multiplies by a dense weight of T x (N D T) numbers. What is read of a proposal depends on its
duration alone and moves with its start, so here it is a small matrix over a sliding window: memory grows with T only.
Shapes: B clips, J cells, D durations, N samples, c sample width, h hidden width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.ba_tfd_plus.config import MapConfig


def sampling_matrix(config: MapConfig) -> tuple[Tensor, int]:
    """(D * N, W) weights over a window of W cells, and how many of them lie before the start.

    Row (k, n) reads linearly between cell centres at the n-th of N even places of a proposal of k + 1 cells, extended
    at both ends. A boundary lies on a cell's edge, half a cell before its centre.
    """
    durations = torch.arange(1, config.num_durations + 1, dtype=torch.float64)
    share = torch.linspace(-config.extension, 1.0 + config.extension, config.num_samples, dtype=torch.float64)
    places = (durations[:, None] * share - 0.5).flatten()
    lead = math.ceil(-float(places.min()))
    width = lead + math.floor(float(places.max())) + 2
    below = (places + lead).floor()
    matrix = torch.zeros(len(places), width, dtype=torch.float64)
    rows = torch.arange(len(places))
    matrix[rows, below.long()] = 1.0 - (places + lead - below)
    matrix[rows, below.long() + 1] += places + lead - below
    return matrix.float(), lead


class BoundaryMap(nn.Module):
    """Cells to logits of every proposal, three times: by position, by channel, by both (BA-TFD+'s p, c and pc)."""

    def __init__(self, dim: int, config: MapConfig) -> None:
        super().__init__()
        self.config = config
        matrix, self.lead = sampling_matrix(config)
        self.matrix: Tensor
        self.register_buffer("matrix", matrix, persistent=False)
        self.reduce = nn.Linear(dim, config.sample_dim)
        self.proposal = nn.Linear(config.num_samples * config.sample_dim, config.hidden_dim)
        self.duration = nn.Parameter(torch.zeros(config.num_durations, config.hidden_dim))
        self.position = nn.MultiheadAttention(config.hidden_dim, config.num_heads, batch_first=True)
        self.channel = nn.Sequential(
            nn.Linear(config.hidden_dim, config.hidden_dim // 4),
            nn.GELU(),
            nn.Linear(config.hidden_dim // 4, config.hidden_dim),
            nn.Sigmoid(),
        )
        self.smooth = nn.ModuleList(_Smooth(config.hidden_dim) for _ in range(3))
        self.answer = nn.ModuleList(nn.Linear(config.hidden_dim, 1) for _ in range(3))
        for answer in self.answer:
            assert isinstance(answer, nn.Linear)
            nn.init.constant_(answer.bias, -3.0)

    def forward(self, cells: Tensor, valid: Tensor) -> Tensor:
        """(B, J, d), (B, J) -> (B, 3, J, D) logits."""
        inside = proposals_inside(valid, self.config.num_durations)
        x = F.gelu(self.proposal(self._sampled(self.reduce(cells) * valid[..., None]))) + self.duration
        flat = x.flatten(0, 1)
        by_position = x + self.position(flat, flat, flat, need_weights=False)[0].view_as(x)
        mean = (x * inside[..., None]).sum(dim=2, keepdim=True) / inside.sum(dim=2)[..., None, None].clamp_min(1)
        by_channel = x * self.channel(mean)
        branches = (by_position, by_channel, by_position + by_channel)
        answers = [
            answer(smooth(branch, inside))[..., 0]
            for branch, smooth, answer in zip(branches, self.smooth, self.answer, strict=True)
        ]
        return torch.stack(answers, dim=1).float()

    def _sampled(self, x: Tensor) -> Tensor:
        """(B, J, c) -> (B, J, D, N * c)."""
        num_clips, num_cells, _ = x.shape
        width = self.matrix.shape[1]
        windows = F.pad(x, (0, 0, self.lead, width - self.lead - 1)).unfold(1, width, 1)
        read = torch.matmul(windows, self.matrix.T)
        return read.mT.reshape(num_clips, num_cells, self.config.num_durations, -1)


class _Smooth(nn.Module):
    """A depthwise convolution over starts and durations, then a linear layer; a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.mix = nn.Linear(dim, dim)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """x (B, J, D, h), inside (B, J, D)."""
        mask = inside[..., None]
        maps = self.convolution((x * mask).movedim(-1, 1)).movedim(1, -1)
        return x + F.gelu(self.mix(maps))


def proposals_inside(valid: Tensor, num_durations: int) -> Tensor:
    """(B, J) -> (B, J, D): whether start j and duration k + 1 end inside the clip."""
    ends = torch.arange(valid.shape[1], device=valid.device)[:, None] + torch.arange(
        1, num_durations + 1, device=valid.device
    )
    return ends <= valid.sum(dim=1)[:, None, None]


def proposal_cells(num_cells: int, num_durations: int, device: torch.device) -> Tensor:
    """(J, D, 2): start and end in cells."""
    starts = torch.arange(num_cells, device=device)[:, None].expand(-1, num_durations)
    return torch.stack([starts, starts + torch.arange(1, num_durations + 1, device=device)], dim=-1).float()
