"""Focal loss of every point, overlap loss of the responsible ones, calibration of the clip's probability.

Shapes: B clips, P points, K true segments.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.processes import batch_count
from iamsb_core.systems.pyramid.config import PyramidLossConfig, TargetConfig
from iamsb_core.systems.pyramid.heads import StreamAnswers
from iamsb_core.systems.pyramid.targets import dense_targets
from iamsb_core.systems.segments import padded_truth, tiou

_TINY = 1e-7


def focal_loss(logits: Tensor, target: Tensor, positive: Tensor, *, gamma: float, alpha: float) -> Tensor:
    """a |target - p|^gamma BCE(p, target), a = alpha for positives, 1 - alpha for the rest (Lin et al. 2017).

    With targets of 0 and 1 it is theirs, with targets between it is quality focal loss (Li et al. 2020).
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = torch.where(positive, alpha, 1.0 - alpha)
    return weight * (target - logits.sigmoid()).abs().pow(gamma) * loss


def diou_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - tiou + (distance of the centres / length of the hull)^2, (..., 2) -> (...); Zheng et al. 2020 in 1-D."""
    centres = 0.5 * (found.sum(dim=-1) - wanted.sum(dim=-1))
    return 1.0 - tiou(found, wanted) + (centres / _hull(found, wanted)).square()


def giou_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - tiou + the share of the hull that neither covers, (..., 2) -> (...); Rezatofighi et al. 2019 in 1-D."""
    gap = torch.maximum(found[..., 0], wanted[..., 0]) - torch.minimum(found[..., 1], wanted[..., 1])
    return 1.0 - tiou(found, wanted) + gap.clamp_min(0.0) / _hull(found, wanted)


def _hull(found: Tensor, wanted: Tensor) -> Tensor:
    hull = torch.maximum(found[..., 1], wanted[..., 1]) - torch.minimum(found[..., 0], wanted[..., 0])
    return hull.clamp_min(_TINY)


def stream_losses(
    answers: StreamAnswers, truth: tuple[Tensor, ...], targets: TargetConfig, config: PyramidLossConfig
) -> dict[str, Tensor]:
    """`classification`, `regression` and `calibration` of one stream, unweighted scalars.

    Classification is summed over points and divided by the responsible ones, but at least by the clips: a batch of
    real clips does not weigh more.
    """
    padded, exists = padded_truth(truth, answers.logits.device)
    wanted = dense_targets(answers.points, padded, exists, answers.length_cells, targets)
    responsible = wanted.responsible & answers.valid
    segments = answers.segments
    overlap = diou_loss if config.overlap == "diou" else giou_loss
    regression = torch.where(responsible, overlap(segments, wanted.segments), 0.0).sum()
    smoothed = config.label_smoothing / 2
    quality = tiou(segments, wanted.segments).detach() if config.quality_target else 1.0 - smoothed
    target = torch.where(responsible, quality, smoothed)
    focal = focal_loss(answers.logits, target, responsible, gamma=config.focal_gamma, alpha=config.focal_alpha)
    num_responsible = batch_count(responsible.sum())
    num_clips = batch_count(answers.present.sum())
    forged = exists.any(dim=1).float()
    calibration = F.binary_cross_entropy_with_logits(answers.clip_logit, forged, reduction="none")
    return {
        "classification": (focal * answers.valid).sum() / torch.maximum(num_responsible, num_clips),
        "regression": regression / num_responsible,
        "calibration": (calibration * answers.present).sum() / num_clips,
    }
