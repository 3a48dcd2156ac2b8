"""The witness bridge (WSB): one static coupling of both streams' queries, on queries only.

It says how consistent the streams are, which of the other stream's latents bear witness, and how to share the budget.
Shapes: B clips, N and M queries of the two streams, k witnesses, d width. Column 0 is audio, column 1 visual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iamsb_core.bridge.coupling import Coupling, entropic_coupling
from iamsb_core.systems.attention import MASKED
from iamsb_core.systems.iamsb.config import IamsbConfig, WitnessConfig
from iamsb_core.systems.iamsb.state import QueryState
from iamsb_core.systems.segments import pairwise_tiou

_FLOOR = 1e-6


@dataclass(frozen=True)
class Witnesses:
    """For every query of one stream, its top-k of the other."""

    index: Tensor
    """(B, N, k) into the other stream's queries"""
    bias: Tensor
    """(B, N, k): log Pi of the kept entries, normalised over the row; MASKED for one that a narrower query drops"""
    mass: Tensor
    """(B, N): row sums of the coupling, the priority of the query"""
    present: Tensor
    """(B,) bool: whether the other stream is there to bear witness"""


@dataclass(frozen=True)
class WitnessOutputs:
    """What the coupling says of each clip."""

    statistics: Tensor
    """(B, 5): Phi_w = [R, T, U, H, C]; zero where a stream is absent"""
    scores: Tensor
    """(B, 2): S_{a|v}, S_{v|a}; higher means harder to reach from the other stream"""
    weights: Tensor
    """(B, 2): w_a, w_v, each clip's sum to 1 over the streams it has"""
    audio: Witnesses
    visual: Witnesses


class WitnessBridge(nn.Module):
    """Coupling -> statistics -> directional scores -> weights, and the witnesses of every query."""

    def __init__(self, config: IamsbConfig) -> None:
        super().__init__()
        self.config = config.witness
        self.cost = CouplingCost(config.witness)
        self.scorer = DirectionalScorer(config.dim, config.witness.hidden_dim)
        self.energy_weight = nn.Parameter(torch.tensor(0.0))

    def forward(self, audio: QueryState, visual: QueryState, energies: Tensor, present: Tensor) -> WitnessOutputs:
        """audio and visual with cut task outputs; energies and present (B, 2)."""
        with torch.autocast(audio.latents.device.type, enabled=False):
            coupling, cost, overlap = self.couple(audio, visual)
            marginals = [_marginal(state.logits) for state in (audio, visual)]
            both = present.all(dim=1)
            statistics = coupling_statistics(coupling, cost, overlap) * both[:, None]
            scores = self.scorer(statistics, audio, visual, marginals) * both[:, None]
            weights = self._weights(scores, energies, present)
        log_plan = coupling.log_plan
        return WitnessOutputs(
            statistics,
            scores,
            weights,
            _witnesses(log_plan, self.config, present[:, 1]),
            _witnesses(log_plan.mT, self.config, present[:, 0]),
        )

    def couple(self, audio: QueryState, visual: QueryState) -> tuple[Coupling, Tensor, Tensor]:
        """The coupling of both streams' queries, its cost and their tiou, (B, N, M) each."""
        cost, overlap = self.cost(audio, visual)
        coupling = entropic_coupling(
            cost,
            _marginal(audio.logits),
            _marginal(visual.logits),
            epsilon=self.config.epsilon,
            num_iterations=self.config.num_iterations,
        )
        return coupling, cost, overlap

    @property
    def energy_share(self) -> Tensor:
        """What the difference of control energies counts beside a directional score; not negative."""
        return nn.functional.softplus(self.energy_weight)

    def _weights(self, scores: Tensor, energies: Tensor, present: Tensor) -> Tensor:
        """Softmax of the scores and the control-energy difference, over the streams that are there."""
        difference = (energies - energies.flip(1)).detach()
        logits = scores + self.energy_share * difference
        weights = logits.masked_fill(~present, MASKED).softmax(dim=1) * present
        return weights / weights.sum(dim=1, keepdim=True).clamp_min(_FLOOR)


class CouplingCost(nn.Module):
    """c_pq = lambda_t |s_p - s_q| + lambda_l |l_p - l_q| + lambda_o (1 - IoU) + lambda_pi (pi_p - pi_q)^2."""

    def __init__(self, config: WitnessConfig) -> None:
        super().__init__()
        initial = [config.start_weight, config.length_weight, config.overlap_weight, config.confidence_weight]
        self.raw = nn.Parameter(torch.tensor([math.log(math.expm1(value)) for value in initial]))

    def forward(self, audio: QueryState, visual: QueryState) -> tuple[Tensor, Tensor]:
        """The cost and the tiou, (B, N, M) each."""
        (start_p, end_p), (start_q, end_q) = audio.segments.unbind(-1), visual.segments.unbind(-1)
        overlap = pairwise_tiou(audio.segments, visual.segments)
        terms = torch.stack(
            [
                (start_p[:, :, None] - start_q[:, None]).abs(),
                ((end_p - start_p)[:, :, None] - (end_q - start_q)[:, None]).abs(),
                1.0 - overlap,
                (audio.logits.sigmoid()[:, :, None] - visual.logits.sigmoid()[:, None]).square(),
            ],
            dim=-1,
        )
        return terms @ nn.functional.softplus(self.raw), overlap


def coupling_statistics(coupling: Coupling, cost: Tensor, overlap: Tensor) -> Tensor:
    """Phi_w = [R, T, U, H, C], (B, 5).

    R = <Pi, C> / sum Pi; T the mass left in place by the inexact marginals; U = 1 - T;
    H = -sum Pi log Pi / log(N M); C = 1 - sum Pi IoU.
    """
    plan, num_cells = coupling.plan, cost.shape[1] * cost.shape[2]
    total = plan.sum(dim=(1, 2)).clamp_min(_FLOOR)
    residual = (plan * cost).sum(dim=(1, 2)) / total
    entropy = -(plan * coupling.log_plan).sum(dim=(1, 2)) / math.log(max(num_cells, 2))
    inconsistency = 1.0 - (plan * overlap).sum(dim=(1, 2))
    matched = coupling.matched_mass
    return torch.stack([residual, matched, 1.0 - matched, entropy, inconsistency], dim=1)


class DirectionalScorer(nn.Module):
    """Phi_w with both representations, their difference and product -> self-attention, MLP, Softplus -> a score.

    One network says both directions, with the streams' places swapped: swapping the streams swaps the scores.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.statistics = nn.Linear(5, hidden_dim)
        self.representation = nn.Linear(dim + 1, hidden_dim)
        self.roles = nn.Parameter(torch.randn(5, hidden_dim) * 0.02)
        self.attention = nn.MultiheadAttention(hidden_dim, 2, batch_first=True)
        self.output = nn.Sequential(
            nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, 1)
        )

    def forward(self, statistics: Tensor, audio: QueryState, visual: QueryState, marginals: list[Tensor]) -> Tensor:
        """(B, 2): S_{a|v}, S_{v|a}."""
        own, other = (
            self._represent(state, marginal) for state, marginal in zip((audio, visual), marginals, strict=True)
        )
        both = torch.cat([self._score(statistics, own, other), self._score(statistics, other, own)], dim=1)
        return nn.functional.softplus(both)

    def _represent(self, state: QueryState, marginal: Tensor) -> Tensor:
        """Confidence-weighted mean latent, and the best confidence: (B, d + 1)."""
        mean = (marginal[..., None] * state.latents.float()).sum(dim=1)
        peak = state.logits.sigmoid().amax(dim=1, keepdim=True)
        return torch.cat([self.norm(mean), peak], dim=1)

    def _score(self, statistics: Tensor, own: Tensor, other: Tensor) -> Tensor:
        pairs = torch.stack([own, other, own - other, own * other], dim=1)
        tokens = torch.cat([self.statistics(statistics)[:, None], self.representation(pairs)], dim=1) + self.roles
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        score: Tensor = self.output((tokens + attended).mean(dim=1))
        return score


def _marginal(logits: Tensor) -> Tensor:
    """Normalised confidences (B, N), positive."""
    confidence = logits.sigmoid() + _FLOOR
    return confidence / confidence.sum(dim=1, keepdim=True)


def _witnesses(log_plan: Tensor, config: WitnessConfig, present: Tensor) -> Witnesses:
    """The top-k of each row of the row-normalised plan (all, if there are fewer), or as many as hold row_mass of it."""
    log_mass = log_plan.logsumexp(dim=2)
    kept = log_plan.topk(min(config.num_witnesses, log_plan.shape[2]), dim=2)
    bias = kept.values - log_mass[..., None]
    if config.row_mass < 1.0:
        before = bias.exp().cumsum(dim=2) - bias.exp()
        bias = bias.masked_fill(before >= config.row_mass, MASKED)
    return Witnesses(kept.indices, bias, log_mass.exp().detach(), present)
