"""Which point answers for which true segment: centre sampling, and a range of distances for each level (FCOS).

Shapes: B clips, P points, K true segments. All lengths in cells of the finest level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iamsb_core.systems.pyramid.config import TargetConfig
from iamsb_core.systems.pyramid.levels import Points


@dataclass(frozen=True)
class Targets:
    """What every point should say."""

    responsible: Tensor
    """(B, P) bool"""
    segments: Tensor
    """(B, P, 2): the true segment of a responsible point, anything for the others; in the truth's unit"""


def dense_targets(points: Points, truth: Tensor, exists: Tensor, length_cells: Tensor, config: TargetConfig) -> Targets:
    """A point answers for a segment (B, K, 2), in shares, that holds it where it stands within centre_radius strides
    of the segment's centre and the farther boundary lies in its level's range; of several, for the shortest.
    """
    start, end = (truth * length_cells[:, None, None])[:, None].unbind(dim=-1)
    centre, stride = points.centre_cells[:, None], points.stride_cells[:, None].float()
    to_start, to_end = centre - start, end - centre
    off_centre = (to_end - to_start).abs() / 2
    near = (off_centre <= config.centre_radius * stride) & (to_start > 0) & (to_end > 0)
    farther = torch.maximum(to_start, to_end)
    low, high = level_range(points, config)
    answers = near & (farther >= low[:, None]) & (farther < high[:, None]) & exists[:, None]
    length = torch.where(answers, end - start, torch.inf)
    chosen = length.argmin(dim=-1)
    segments = truth.gather(1, chosen[..., None].expand(-1, -1, 2))
    return Targets(answers.any(dim=-1), segments)


def level_range(points: Points, config: TargetConfig) -> tuple[Tensor, Tensor]:
    """(P,) each: the distances [low, high) of the farther boundary that a point's level answers for."""
    high = config.first_range_cells * points.stride_cells.float()
    low = torch.where(points.level == 0, 0.0, high / 2)
    return low, torch.where(points.level == points.level.max(), torch.inf, high)
