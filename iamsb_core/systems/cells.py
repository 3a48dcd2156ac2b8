"""Features on a grid, read on another grid's centres, and the grid that both streams meet on.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iamsb_core.systems.sampling import sample_cells
from iamsb_core.systems.segments import padded_truth


@dataclass(frozen=True)
class Cells:
    """Features on one grid, every clip from cell 0 on."""

    values: Tensor
    """(B, L, d), zero where not valid"""
    valid: Tensor
    """(B, L)"""
    hop_seconds: float

    def at(self, other: Cells) -> Tensor:
        """(B, other's L, d): read between cells at the centres of the other grid; zero where either has none.

        Beyond a clip's last cell the last value holds.
        """
        num_other = other.valid.shape[1]
        centres = (torch.arange(num_other, device=self.values.device) + 0.5) * (other.hop_seconds / self.hop_seconds)
        read = sample_cells(self.values, centres.expand(len(self.values), -1), self.valid.sum(dim=1))
        return read * (other.valid & self.valid.any(dim=1, keepdim=True))[..., None]

    def mean(self) -> Tensor:
        """(B, d) over valid cells; zero for a clip without any."""
        return self.values.sum(dim=1) / self.valid.sum(dim=1, keepdim=True).clamp_min(1)


def joint_grid(duration_seconds: Tensor, hop_seconds: float, dim: int) -> Cells:
    """The empty grid that both streams meet on: there also for a clip without pictures."""
    counts = (duration_seconds / hop_seconds - 1e-4).ceil().long().clamp_min(1)
    num_cells = int(counts.max())
    valid = torch.arange(num_cells, device=counts.device) < counts[:, None]
    return Cells(torch.zeros(*valid.shape, dim, device=counts.device), valid, hop_seconds)


def covered(truth: tuple[Tensor, ...], num_cells: int, length_cells: Tensor) -> Tensor:
    """(B, num_cells) float: 1 for a cell whose centre lies in a true segment, given in shares of length_cells (B,)."""
    segments, exists = padded_truth(truth, length_cells.device)
    cells = segments * length_cells[:, None, None]
    centres = torch.arange(num_cells, device=cells.device) + 0.5
    inside = (centres >= cells[..., :1]) & (centres < cells[..., 1:]) & exists[..., None]
    return inside.any(dim=1).float()
