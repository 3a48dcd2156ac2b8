"""The losses, kept apart by what they ask for: the fused answer, or one stream's own.

Shapes: B clips, L cells.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.data.batch import Batch
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.processes import batch_count
from iamsb_core.systems.cells import covered
from iamsb_core.systems.macb_df.config import MacbLossConfig
from iamsb_core.systems.macb_df.outputs import FrameAnswers, MacbOutputs


def head_losses(answers: FrameAnswers, target: Tensor, config: MacbLossConfig) -> dict[str, Tensor]:
    """`frame` and `clip` of one head, means over what is there."""
    weight = torch.tensor(config.positive_weight, device=target.device)
    frame = F.binary_cross_entropy_with_logits(answers.logits, target, reduction="none", pos_weight=weight)
    forged = (target * answers.valid).amax(dim=1)
    clip = F.binary_cross_entropy_with_logits(answers.clip_logit, forged, reduction="none")
    present = answers.present
    return {
        "frame": (frame * answers.valid).sum() / batch_count(answers.valid.sum()),
        "clip": (clip * present).sum() / batch_count(present.sum()),
    }


def system_losses(outputs: MacbOutputs, batch: Batch, contrast: Tensor, config: MacbLossConfig) -> dict[str, Tensor]:
    """Every term by name; `multimodal`, `unimodal_audio` and `unimodal_visual` are what gradients are taken of."""
    seconds = batch.duration_seconds
    losses: dict[str, Tensor] = {}
    for modality, answers in zip(STREAMS, outputs.streams, strict=True):
        name = stream_name(modality)
        target = _target(batch.stream(modality).truth, answers, seconds)
        found = head_losses(answers, target, config)
        losses |= {f"{name}_{kind}": value for kind, value in found.items()}
        losses[f"unimodal_{name}"] = config.unimodal * (config.frame * found["frame"] + config.clip * found["clip"])
    both = tuple(torch.cat(pair) for pair in zip(batch.audio.truth, batch.visual.truth, strict=True))
    found = head_losses(outputs.fused, _target(both, outputs.fused, seconds), config)
    losses |= {f"fused_{kind}": value for kind, value in found.items()}
    losses["contrast"] = contrast
    losses["multimodal"] = config.frame * found["frame"] + config.clip * found["clip"] + config.contrast * contrast
    losses["total"] = losses["multimodal"] + losses["unimodal_audio"] + losses["unimodal_visual"]
    return losses


def _target(truth: tuple[Tensor, ...], answers: FrameAnswers, duration_seconds: Tensor) -> Tensor:
    return covered(truth, answers.logits.shape[1], duration_seconds / answers.hop_seconds)
