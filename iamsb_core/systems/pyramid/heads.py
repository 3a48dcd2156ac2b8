"""What a cell says: how likely it lies in a forgery, and how far the forgery's two ends are.

Shapes: B clips, P points of all levels, d width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.convolution import MaskedConv
from iamsb_core.systems.pyramid.layers import Scale
from iamsb_core.systems.pyramid.levels import Level, Points, level_row
from iamsb_core.systems.segments import proper

_PRIOR = 0.01
"""probability that an untrained cell gives a forgery: a flood of negatives must not drown the start"""
_MIN_LENGTH_CELLS = 1.0
_CALIBRATION_UNIT = 10.0
"""of the calibration's two scalars: a network's learning rate is too slow for a number of that size"""


@dataclass(frozen=True)
class StreamAnswers:
    """One stream's points."""

    points: Points
    logits: Tensor
    """(B, P)"""
    distances: Tensor
    """(B, P, 2) to start and end, in cells of the finest level, not negative"""
    valid: Tensor
    """(B, P)"""
    length_cells: Tensor
    """(B,): the clip's duration"""
    present: Tensor
    """(B,) bool"""
    clip_logit: Tensor
    """(B,): that the stream is forged anywhere; calibrated"""

    @property
    def segments(self) -> Tensor:
        """(B, P, 2) in shares of the clip's duration, kept inside it."""
        centre = self.points.centre_cells[:, None]
        cells = torch.cat([centre - self.distances[..., :1], centre + self.distances[..., 1:]], dim=-1)
        length = self.length_cells[:, None, None]
        return proper(cells / length, (_MIN_LENGTH_CELLS / length[..., 0]).clamp_max(1.0))


class Tower(nn.Module):
    """Convolutions of three cells, each with norm and ReLU, and one that answers."""

    def __init__(self, dim: int, num_outputs: int, num_layers: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(MaskedConv(dim, dim, 3) for _ in range(num_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_layers))
        self.answer = MaskedConv(dim, num_outputs, 3)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, d) -> (B, L, num_outputs), in float32."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(norm(convolution(x, valid))) * valid[..., None]
        return self.answer(x, valid).float()  # type: ignore[no-any-return]


class DualHead(nn.Module):
    """Classification and regression towers, shared by all levels, and the clip's probability."""

    def __init__(self, dim: int, num_levels: int, num_layers: int) -> None:
        super().__init__()
        self.classification = Tower(dim, 1, num_layers)
        self.regression = Tower(dim, 2, num_layers)
        self.scales = nn.ModuleList(Scale() for _ in range(num_levels))
        self.calibration = nn.Parameter(torch.tensor([1.0, 0.0]) / _CALIBRATION_UNIT)
        with torch.no_grad():
            bias = self.classification.answer.convolution.bias
            assert bias is not None
            bias.fill_(-math.log((1.0 - _PRIOR) / _PRIOR))

    def forward(self, levels: list[Level], length_cells: Tensor, present: Tensor) -> StreamAnswers:
        """length_cells (B,), present (B,): whether the clip has the stream that the head speaks of."""
        row = level_row(levels)
        logits = self.classification(row.values, row.valid)[:, row.index, 0]
        raw = self.regression(row.values, row.valid)[:, row.index]
        factors = torch.stack([scale.factor for scale in self._scales()])[row.points.level]
        distances = F.softplus(raw * factors[:, None]) * row.points.stride_cells[:, None]
        valid = row.valid[:, row.index] & present[:, None]
        best = logits.detach().masked_fill(~valid, -math.inf).amax(dim=1)
        best = torch.where(present, best, 0.0)
        slope, offset = self.calibration * _CALIBRATION_UNIT
        return StreamAnswers(row.points, logits, distances, valid, length_cells, present, slope * best + offset)

    def _scales(self) -> list[Scale]:
        return [scale for scale in self.scales if isinstance(scale, Scale)]
