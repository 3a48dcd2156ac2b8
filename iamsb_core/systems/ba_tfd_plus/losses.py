"""Map regression, frame classification and cross-modal contrast (BA-TFD+'s losses).

Shapes: B clips, J cells, D durations.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.processes import batch_count
from iamsb_core.systems.ba_tfd_plus.config import BaTfdLossConfig
from iamsb_core.systems.segments import padded_truth, pairwise_tiou


def map_target(cells: Tensor, truth: tuple[Tensor, ...], length_cells: Tensor) -> Tensor:
    """(B, J, D): tiou of every proposal (J, D, 2) with the true segment, in shares, that it fits best."""
    segments, exists = padded_truth(truth, cells.device)
    overlap = pairwise_tiou(cells.flatten(0, 1)[None], segments * length_cells[:, None, None])
    return (overlap * exists[:, None]).amax(dim=-1).view(len(truth), *cells.shape[:2])


def map_loss(logits: Tensor, target: Tensor, inside: Tensor, positive_weight: float) -> Tensor:
    """Mean squared error of the three maps (B, 3, J, D) over proposals that lie in their clip."""
    weight = inside * torch.where(target >= 0.5, positive_weight, 1.0)
    error = (logits.sigmoid() - target[:, None]).square().mean(dim=1)
    return (error * weight).sum() / batch_count(weight.sum())


def frame_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Binary cross-entropy over valid cells, (B, J) each."""
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * valid).sum() / batch_count(valid.sum())


def contrast_loss(audio: Tensor, visual: Tensor, forged: Tensor, valid: Tensor, config: BaTfdLossConfig) -> Tensor:
    """Cells' features (B, J, d) of unit length: near where both streams are genuine, `margin` apart where not."""
    apart = (audio - visual).square().sum(dim=-1).clamp_min(1e-9).sqrt()
    loss = torch.where(forged, (config.margin - apart).clamp_min(0.0).square(), apart.square())
    return (loss * valid).sum() / batch_count(valid.sum())
