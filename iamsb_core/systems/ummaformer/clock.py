"""Both streams' features on one clock, side by side.

Shapes: B clips, L cells of the common clock, D_a and D_v features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iamsb_core.systems.cells import Cells


@dataclass(frozen=True)
class JointCells:
    """The common clock's cells."""

    values: Tensor
    """(B, L, D_a + D_v): audio, then visual; zero where a stream has nothing"""
    valid: Tensor
    """(B, L): the clip's own cells"""
    known: Tensor
    """(B, L, 2): where there is audio, where there is video"""
    hop_seconds: float


def on_one_clock(audio: Cells, visual: Cells, duration_seconds: Tensor) -> JointCells:
    """The finer hop is the common one."""
    hop_seconds = min(audio.hop_seconds, visual.hop_seconds)
    num_own = torch.floor(duration_seconds.double() / hop_seconds + 0.5 + 1e-4).clamp_min(1).long()
    cells = torch.arange(int(num_own.max()), device=duration_seconds.device)
    valid = cells < num_own[:, None]
    grid = Cells(torch.zeros(*valid.shape, 0, device=cells.device), valid, hop_seconds)
    values, known = [], []
    for own in (audio, visual):
        ends = (own.valid.sum(dim=1, keepdim=True) + 1) * own.hop_seconds
        there = ((cells + 0.5) * hop_seconds < ends) & valid & own.valid.any(dim=1, keepdim=True)
        values.append(own.at(grid) * there[..., None])
        known.append(there)
    seen = torch.stack(known, dim=-1)
    return JointCells(torch.cat(values, dim=-1), valid & seen.any(dim=-1), seen, hop_seconds)
