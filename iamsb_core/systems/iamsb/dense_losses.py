"""What trains the dense head: every cell is asked whether it is forged, whether a boundary is here, and how far.

Shapes: B clips, L cells, K true segments.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iamsb_core.processes import batch_count
from iamsb_core.systems.iamsb.config import LossConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs
from iamsb_core.systems.iamsb.losses import Truth, focal_bce, segment_loss


def dense_loss(dense: DenseOutputs, truth: Truth, config: LossConfig) -> Tensor:
    """Focal BCE of forged cells and boundaries, segment loss of the cells inside a truth; a scalar.

    Padding and absent streams count nowhere, wherever their centres lie.
    """
    centres = dense.centres[..., None]
    start, end = truth.segments[:, None, :, 0], truth.segments[:, None, :, 1]
    present = dense.valid & truth.present[:, None]
    inside = (centres >= start) & (centres < end) & truth.exists[:, None] & present[..., None]
    forged = inside.any(dim=-1)
    target = truth.segments.gather(1, inside.to(torch.uint8).argmax(dim=-1)[..., None].expand(-1, -1, 2))
    num_inside = batch_count(forged.sum())
    location = torch.where(forged, segment_loss(dense.segments, target, config), 0.0).sum() / num_inside
    classification = focal_bce(dense.forged_logits, forged.float(), forged, config) * present
    edges = _boundary_loss(dense, dense.start_logits, start, truth, config)
    edges = edges + _boundary_loss(dense, dense.end_logits, end, truth, config)
    return location + classification.sum() / _clip_cells(present, num_inside) + edges


def _clip_cells(present: Tensor, num_inside: Tensor) -> Tensor:
    """Forged cells, but at least one per clip: a batch of real clips does not weigh more."""
    return torch.maximum(num_inside, batch_count(present.any(dim=1).sum())).float()


def _boundary_loss(dense: DenseOutputs, logits: Tensor, boundaries: Tensor, truth: Truth, config: LossConfig) -> Tensor:
    """Soft targets exp(-(cells to the boundary)^2 / (2 sigma^2)), per boundary."""
    cells = (dense.centres[..., None] - boundaries) * dense.length_cells[:, None, None]
    near = torch.exp(-0.5 * (cells / config.boundary_sigma_cells).square()) * truth.exists[:, None]
    target = near.amax(dim=-1)
    loss = focal_bce(logits, target, target > 0.5, config) * (dense.valid & truth.present[:, None])
    return loss.sum() / truth.normaliser
