"""The total: sum_m L_loc^m + 0.2 L_rank + 0.2 L_svn, and our terms for the dense head, near queries and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.data.batch import Batch
from iamsb_core.manifest import Modality
from iamsb_core.processes import batch_count
from iamsb_core.systems.iamsb.config import LossConfig
from iamsb_core.systems.iamsb.dense_losses import dense_loss
from iamsb_core.systems.iamsb.losses import (
    Truth,
    auxiliary_location,
    budget_shares,
    imbalance,
    location_per_step,
    mean_over_steps,
    rank_loss,
    worsening,
)
from iamsb_core.systems.iamsb.outputs import IamsbOutputs, StreamOutputs
from iamsb_core.systems.segments import padded_truth


@dataclass(frozen=True)
class StreamLosses:
    """One stream's terms, scalars but for `worsening` (B,)."""

    location: Tensor
    auxiliary: Tensor
    dense: Tensor
    calibration: Tensor
    worsening: Tensor


def total_loss(outputs: IamsbOutputs, batch: Batch, config: LossConfig) -> dict[str, Tensor]:
    """Every term by name, unweighted, and `total`, their weighted sum. In float32 whatever autocast says."""
    with torch.autocast(outputs.weights.device.type, enabled=False):
        audio = _stream_losses(outputs.audio, _truth(outputs, batch, Modality.AUDIO), config)
        visual = _stream_losses(outputs.visual, _truth(outputs, batch, Modality.VISUAL), config)
        terms = {
            "location_audio": audio.location,
            "location_visual": visual.location,
            "auxiliary": audio.auxiliary + visual.auxiliary,
            "dense": audio.dense + visual.dense,
            "calibration": audio.calibration + visual.calibration,
        } | _witness_terms(outputs, batch, (audio.worsening, visual.worsening), config)
        weights = {
            "auxiliary": config.auxiliary_weight,
            "dense": config.dense_weight,
            "calibration": config.calibration_weight,
            "rank": config.rank_weight,
            "step_value": config.step_value_weight,
        }
        total = torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
    return {"total": total, **terms}


def _truth(outputs: IamsbOutputs, batch: Batch, modality: Modality) -> Truth:
    present = outputs.stream(modality).present
    return Truth(*padded_truth(batch.stream(modality).truth, present.device), present)


def _stream_losses(outputs: StreamOutputs, truth: Truth, config: LossConfig) -> StreamLosses:
    location = torch.zeros((), device=truth.present.device)
    auxiliary, worse = torch.zeros_like(location), torch.zeros_like(truth.present, dtype=torch.float32)
    for trace in outputs.bridges:
        per_step = location_per_step(trace, truth, config)
        location = location + mean_over_steps(per_step, trace).sum() / truth.normaliser
        auxiliary = auxiliary + auxiliary_location(trace, truth, config)
        if trace is outputs.refined:
            worse = worsening(per_step, trace)
    forged = truth.exists.any(dim=1).float()
    calibration = F.binary_cross_entropy_with_logits(outputs.calibrated_logit, forged, reduction="none")
    calibration = (calibration * truth.present).sum() / batch_count(truth.present.sum())
    return StreamLosses(location, auxiliary, dense_loss(outputs.dense, truth, config), calibration, worse)


def _witness_terms(
    outputs: IamsbOutputs, batch: Batch, worse: tuple[Tensor, Tensor], config: LossConfig
) -> dict[str, Tensor]:
    """L_rank and L_svn; none without the witness bridge, whose budgets they teach.

    L_svn is the mean over the clips with both streams: a clip of one stream has no budget to share.
    """
    if outputs.witness is None:
        return {}
    forged = batch.audio.forged, batch.visual.forged
    both = outputs.audio.present & outputs.visual.present
    shares = budget_shares(outputs.weights)
    value = (shares * torch.stack(worse, dim=1)).sum(dim=1) * both + imbalance(
        shares, *forged, both, config.forged_lead
    )
    return {
        "rank": rank_loss(outputs.witness.scores, *forged, both, config.rank_margin),
        "step_value": value.sum() / batch_count(both.sum()),
    }
