"""Reading the features around a segment, and the task heads that move it and score it after every step.

A boundary moves to an expectation over the sampled positions around it, so that a move never leaves the window, zero
logits leave it where it is, and its precision is finer than a cell. Shapes: B clips, N queries, d width, G positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iamsb_core.systems.iamsb.memory import StreamMemory, Track
from iamsb_core.systems.iamsb.state import QueryState
from iamsb_core.systems.sampling import offsets, sample_cells, window_positions
from iamsb_core.systems.segments import clamp_through, proper

_INSIDE = (0.1, 0.3, 0.5, 0.7, 0.9)
_MIN_LENGTH_CELLS = 1.0
_PRIOR_LOGIT = -2.5


@dataclass(frozen=True)
class Windows:
    """Half-windows around the boundaries of each query, shares of the duration."""

    main: Tensor
    """(B, N, 1)"""
    fine: Tensor | None
    """(B, N, 1) where the stream has a fine track"""


class RegionReader(nn.Module):
    """Features sampled around both boundaries and inside a segment, as d numbers; cost does not depend on L."""

    def __init__(self, dim: int, edge_dim: int, num_points: int, fine_dim: int, num_fine_points: int) -> None:
        super().__init__()
        self.num_points, self.num_fine_points = num_points, num_fine_points
        self.main = nn.Linear((2 * num_points + len(_INSIDE)) * (edge_dim + 2), dim)
        self.fine = nn.Linear(2 * num_fine_points * fine_dim, dim) if fine_dim else None
        self.register_buffer("inside", torch.tensor(_INSIDE), persistent=False)

    def forward(self, segments: Tensor, memory: StreamMemory, windows: Windows) -> Tensor:
        """segments (B, N, 2) -> (B, N, d)."""
        around = window_positions(segments, windows.main, self.num_points).flatten(2)
        within = segments[..., :1] + (segments[..., 1:] - segments[..., :1]) * self.get_buffer("inside")
        region: Tensor = self.main(_read(memory.edges, torch.cat([around, within], dim=-1)))
        if self.fine is None:
            return region
        assert memory.fine is not None
        assert windows.fine is not None
        near = window_positions(segments, windows.fine, self.num_fine_points).flatten(2)
        return region + self.fine(_read(memory.fine, near))  # type: ignore[no-any-return]


def _read(track: Track, shares: Tensor) -> Tensor:
    """The track at shares (B, N, P) -> (B, N, P C)."""
    positions = shares.flatten(1) * track.length_cells[:, None]
    return sample_cells(track.values, positions, track.num_cells).reshape(*shares.shape[:2], -1)


class TaskHeads(nn.Module):
    """(s, l, pi) of a query after a step: the segment relative to the one before, and the confidence."""

    def __init__(self, dim: int, num_points: int, num_fine_points: int) -> None:
        super().__init__()
        self.num_points, self.num_fine_points = num_points, num_fine_points
        self.norm = nn.LayerNorm(dim)
        self.region = nn.Linear(dim, dim)
        self.hidden = nn.Linear(dim, 2 * dim)
        self.move = nn.Linear(dim, 2 * (num_points + num_fine_points))
        self.confidence = nn.Linear(dim, 1)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)
        nn.init.normal_(self.confidence.weight, std=0.02)
        nn.init.constant_(self.confidence.bias, _PRIOR_LOGIT)

    def forward(
        self, latents: Tensor, region: Tensor, segments: Tensor, windows: Windows, length_cells: Tensor
    ) -> QueryState:
        """latents and region (B, N, d), segments (B, N, 2), length_cells (B,)."""
        hidden = nn.functional.gelu(self.hidden(self.norm(latents) + self.region(region)))
        for_move, for_confidence = hidden.chunk(2, dim=-1)
        move = self.move(for_move).float().reshape(*segments.shape, -1)
        moved = segments + windows.main * _expected_offset(move[..., : self.num_points])
        if windows.fine is not None:
            moved = moved + windows.fine * _expected_offset(move[..., self.num_points :])
        minimum = (_MIN_LENGTH_CELLS / length_cells).clamp(max=1.0)[:, None]
        return QueryState(latents, proper(moved, minimum), self.confidence(for_confidence).float()[..., 0])


def _expected_offset(logits: Tensor) -> Tensor:
    """(..., G) -> (...): the mean of -1 ... 1 under softmax, in float32."""
    return (logits.softmax(dim=-1) * offsets(logits.shape[-1], logits.device)).sum(dim=-1)


def jittered(segments: Tensor, noise: Tensor, share: float) -> Tensor:
    """Boundaries moved by noise (same shape) times a share of the length: what training refines from."""
    length = segments[..., 1:] - segments[..., :1]
    low, high = (segments + noise * share * length).sort(dim=-1).values.unbind(-1)
    moved = torch.stack([low, torch.maximum(high, low + 0.1 * length[..., 0])], dim=-1)
    return clamp_through(moved, 0.0, 1.0).detach()
