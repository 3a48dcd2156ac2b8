"""The losses of section 6. Form chosen where the paper is silent:

* L_loc of a clip = sum over matched [(1 - EIoU) + Huber(start, length) + BCE(pi, target)] + sum over unmatched
  BCE(pi, 0) + sum over truths exp(-beta max_p IoU), focal-weighted, mean over the steps a clip took. The matching is
  that of the bridge's last step, so that steps are compared on the same pairs.
* L_rank = relu(m_0 - y (S_{a|v} - S_{v|a})), y = +1 audio only, -1 visual only; no term otherwise.
* L_svn = sum_m b_m sum_t relu(L_loc(t + 1) - L_loc(t)) + |b_a - b_v - lead (forged_a - forged_v)|,
  b_m = w_m^2 / sum w^2, the share of N^m S^m (both proportional to w_m).

Shapes: S steps, B clips, N queries, K true segments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.processes import batch_count
from iamsb_core.systems.iamsb.config import LossConfig
from iamsb_core.systems.iamsb.matching import UNMATCHED, match
from iamsb_core.systems.iamsb.state import StepTrace
from iamsb_core.systems.segments import eiou, pairwise_tiou, tiou


@dataclass(frozen=True)
class Truth:
    """One stream's true segments, padded."""

    segments: Tensor
    """(B, K, 2) shares"""
    exists: Tensor
    """(B, K) bool"""
    present: Tensor
    """(B,) bool: a clip without the stream teaches it nothing"""

    @property
    def normaliser(self) -> Tensor:
        """Truths of the batch, a real clip counted as one."""
        counted = self.exists.sum(dim=1).clamp_min(1) * self.present
        return batch_count(counted.sum()).float()


def location_per_step(trace: StepTrace, truth: Truth, config: LossConfig) -> Tensor:
    """L_loc of every clip after every step, (S, B); zero where the clip took no such step."""
    assigned = match(trace.final, trace.queries, truth.segments, truth.exists, config)
    matched = assigned != UNMATCHED
    target = _gathered(truth.segments, assigned).expand_as(trace.segments)
    overlap = tiou(trace.segments, target)
    regression = segment_loss(trace.segments, target, config) * matched
    quality = overlap.detach() if config.quality_target else torch.ones_like(overlap)
    confidence = focal_bce(trace.logits, torch.where(matched, quality, 0.0), matched, config)
    coverage = coverage_loss(trace.segments, trace.queries, truth, config)
    per_query = (regression + confidence) * trace.queries
    active = trace.active & truth.present
    return torch.where(active, per_query.sum(dim=2) + coverage, 0.0)


def mean_over_steps(per_step: Tensor, trace: StepTrace) -> Tensor:
    """(S, B) -> (B,): each clip's mean over the steps it took."""
    return per_step.sum(dim=0) / trace.active.sum(dim=0).clamp_min(1)


def segment_loss(segments: Tensor, target: Tensor, config: LossConfig) -> Tensor:
    """(1 - EIoU) + Huber of start and length, (..., 2) -> (...); zero where the two are equal."""
    found, wanted = (torch.stack([x[..., 0], x[..., 1] - x[..., 0]], dim=-1) for x in (segments, target))
    huber = F.huber_loss(found, wanted, delta=config.huber_delta, reduction="none").sum(dim=-1)
    return 1.0 - eiou(segments, target) + config.huber_weight * huber


def focal_bce(logits: Tensor, target: Tensor, positive: Tensor, config: LossConfig) -> Tensor:
    """|target - pi|^gamma BCE(pi, target), with alpha for positives and 1 - alpha for the rest."""
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if config.focal_gamma > 0.0:
        loss = loss * (target - logits.sigmoid()).abs().pow(config.focal_gamma)
    if config.focal_alpha is not None:
        loss = loss * torch.where(positive, config.focal_alpha, 1.0 - config.focal_alpha)
    return loss


def coverage_loss(segments: Tensor, queries: Tensor, truth: Truth, config: LossConfig) -> Tensor:
    """sum_g exp(-beta max_p IoU(p, g)): (S, B, N, 2) -> (S, B); zero for a clip without truth."""
    overlap = pairwise_tiou(segments, truth.segments.expand(len(segments), -1, -1, -1))
    best = (overlap * queries[..., None]).amax(dim=2) if overlap.shape[2] else overlap.sum(dim=2)
    return (torch.exp(-config.coverage_beta * best) * truth.exists).sum(dim=-1)


def auxiliary_location(trace: StepTrace, truth: Truth, config: LossConfig) -> Tensor:
    """Segment loss, a scalar, of every query that starts a step near a truth (ours): more boundaries to learn from."""
    if config.auxiliary_tiou > 1.0:
        return trace.segments.sum() * 0.0
    before = torch.cat([trace.initial.segments[None], trace.segments])[:-1].detach()
    overlap = pairwise_tiou(before, truth.segments.expand(len(before), -1, -1, -1)) * truth.exists[:, None]
    best, index = overlap.max(dim=-1)
    near = (best >= config.auxiliary_tiou) & trace.queries & (trace.active & truth.present)[..., None]
    target = truth.segments.expand(len(before), -1, -1, -1).gather(2, index[..., None].expand(-1, -1, -1, 2))
    loss = torch.where(near, segment_loss(trace.segments, target, config), 0.0)
    return loss.sum() / batch_count(near.sum())


def rank_loss(scores: Tensor, audio_forged: Tensor, visual_forged: Tensor, both: Tensor, margin: float) -> Tensor:
    """L_rank, mean over the clips forged in exactly one of two present streams; zero where there is none."""
    sign = audio_forged.float() - visual_forged.float()
    counted = both & (sign != 0.0)
    loss = (margin - sign * (scores[:, 0] - scores[:, 1])).relu() * counted
    return loss.sum() / batch_count(counted.sum())


def budget_shares(weights: Tensor) -> Tensor:
    """b_m = w_m^2 / sum w^2, (B, 2): the share of N^m S^m, with a gradient."""
    squares = weights.square()
    return squares / squares.sum(dim=1, keepdim=True).clamp_min(1e-6)


def worsening(per_step: Tensor, trace: StepTrace) -> Tensor:
    """sum_t relu(L_loc(t + 1) - L_loc(t)) over the steps that a clip took, (B,); zero where no step made it worse.

    The gradient goes to the later step only: the earlier one must not be paid for getting worse.
    """
    if len(per_step) < 2:
        return torch.zeros(per_step.shape[1], device=per_step.device)
    return ((per_step[1:] - per_step[:-1].detach()).relu() * trace.active[1:]).sum(dim=0)


def imbalance(shares: Tensor, audio_forged: Tensor, visual_forged: Tensor, both: Tensor, lead: float) -> Tensor:
    """|b_a - b_v - lead (forged_a - forged_v)|, (B,); zero where a stream is absent, there is nothing to share."""
    wanted = lead * (audio_forged.float() - visual_forged.float())
    return (shares[:, 0] - shares[:, 1] - wanted).abs() * both


def _gathered(truth: Tensor, assigned: Tensor) -> Tensor:
    """(B, K, 2) by (B, N) -> (B, N, 2); an unmatched query gets some truth, which its mask must hide."""
    index = assigned.clamp_min(0)[..., None].expand(-1, -1, 2)
    return truth.gather(1, index)
