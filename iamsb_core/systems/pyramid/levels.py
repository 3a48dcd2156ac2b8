"""The levels of a pyramid, and all of them in one row, so that a head runs once.

Shapes: B clips, L cells of a level, d width, P points: the cells of all levels, finest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_GAP_CELLS = 1
"""between levels in a row; as many as the heads' convolutions reach"""


@dataclass(frozen=True)
class Level:
    """One level; every clip starts at its cell 0."""

    values: Tensor
    """(B, L, d), zero where not valid"""
    valid: Tensor
    """(B, L)"""
    stride_cells: int
    """in cells of the finest level"""


@dataclass(frozen=True)
class Points:
    """Where the answers of all levels stand, each (P,)."""

    centre_cells: Tensor
    """centre of the finest cell that the point grew from"""
    stride_cells: Tensor
    level: Tensor
    """0 is the finest"""


@dataclass(frozen=True)
class LevelRow:
    """All levels side by side, a gap of zeros between them: a convolution of three cells mixes none."""

    values: Tensor
    """(B, P + gaps, d)"""
    valid: Tensor
    """(B, P + gaps)"""
    index: Tensor
    """(P,): the places that are points"""
    points: Points


def level_row(levels: Sequence[Level]) -> LevelRow:
    """The levels in one row."""
    device = levels[0].values.device
    gapped = [F.pad(level.values, (0, 0, 0, _GAP_CELLS)) for level in levels]
    seen = [F.pad(level.valid, (0, _GAP_CELLS)) for level in levels]
    lengths = [level.valid.shape[1] for level in levels]
    exists = torch.cat([torch.arange(n + _GAP_CELLS, device=device) < n for n in lengths])
    strides = torch.tensor([level.stride_cells for level in levels], device=device)
    level_of = torch.repeat_interleave(torch.arange(len(levels), device=device), torch.tensor(lengths, device=device))
    within = torch.cat([torch.arange(n, device=device) for n in lengths])
    points = Points(within * strides[level_of] + 0.5, strides[level_of], level_of)
    return LevelRow(torch.cat(gapped, dim=1), torch.cat(seen, dim=1), exists.nonzero()[:, 0], points)
