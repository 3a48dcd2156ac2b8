"""The coarse bridge (CSB): N_ev queries of one stream pushed from the interval prior towards the observation.

Z_{t+1} = Z_t + Delta u_c(U_t), U_t = LN(Z_t + MHA(Z_t, F, F)), Delta = 1 / S_c; cost O(N_ev L).
Shapes: B clips, N queries, L cells, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.bridge.energy import step_energy
from iamsb_core.bridge.propagator import euler_step
from iamsb_core.systems.iamsb.attention import SharedMemoryAttention
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs, seeds
from iamsb_core.systems.iamsb.heads import RegionReader, TaskHeads, Windows, jittered
from iamsb_core.systems.iamsb.memory import StreamMemory
from iamsb_core.systems.iamsb.state import QueryState, StepTrace
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.sampling import SegmentEmbedding, TimeEmbedding


class IntervalPrior(nn.Module):
    """nu_0: learned latents, each with a reference segment, and seeds from the dense head (ours)."""

    def __init__(self, config: IamsbConfig) -> None:
        super().__init__()
        coarse, dim = config.coarse, config.dim
        share = coarse.seeded_share if config.use_coarse else 0.0
        self.config, self.num_seeds = coarse, round(share * coarse.num_queries)
        num_learned = coarse.num_queries - self.num_seeds
        self.latents = nn.Parameter(torch.randn(num_learned, dim) * 0.5)
        self.references = nn.Parameter(_spread_references(num_learned))
        self.seed_latent = nn.Parameter(torch.zeros(dim))
        self.seed = nn.Linear(dim, dim)

    def forward(self, memory: StreamMemory, dense: DenseOutputs, noise: Noise) -> QueryState:
        """The state at t = 0: seeds first, then the learned queries."""
        num_clips, centre_length = len(memory.cells), self.references.sigmoid()
        half = 0.5 * centre_length[:, 1:]
        learned = torch.cat([centre_length[:, :1] - half, centre_length[:, :1] + half], dim=1).clamp(0.0, 1.0)
        latents, segments = self.latents.expand(num_clips, -1, -1), learned.expand(num_clips, -1, -1)
        if self.num_seeds:
            seed_latents, seed_segments = self._seeded(memory, dense, noise)
            latents, segments = torch.cat([seed_latents, latents], 1), torch.cat([seed_segments, segments], 1)
        scale = self.config.prior_noise * self.config.sigma
        latents = latents + scale * noise.normal(tuple(latents.shape), latents)
        return QueryState(latents, segments.float(), torch.zeros_like(segments[..., 0]))

    def _seeded(self, memory: StreamMemory, dense: DenseOutputs, noise: Noise) -> tuple[Tensor, Tensor]:
        index = seeds(dense, self.num_seeds, self.config.seed_sigma)[..., None]
        cells = memory.cells.gather(1, index.expand(-1, -1, memory.cells.shape[-1]))
        segments = dense.segments.detach().gather(1, index.expand(-1, -1, 2))
        jitter = noise.normal(tuple(segments.shape), segments)
        if not noise.silent:
            segments = jittered(segments, jitter, self.config.reference_jitter)
        return self.seed(cells) + self.seed_latent, segments


def _spread_references(num: int) -> Tensor:
    """Logits (num, 2) of centres and lengths: a low-discrepancy cover of places, and lengths of 2 % to 60 %."""
    index = torch.arange(num, dtype=torch.float64) + 0.5
    centres = (index * 0.6180339887498949) % 1.0
    lengths = 0.02 * 30.0 ** ((index * 0.7548776662466927) % 1.0)
    return torch.logit(torch.stack([centres, lengths], dim=1).clamp(0.01, 0.99)).float()


class CoarseBridge(nn.Module):
    """The drift u_c, shared over steps, with task heads after every step."""

    def __init__(self, config: IamsbConfig) -> None:
        super().__init__()
        coarse, dim = config.coarse, config.dim
        self.config, self.enabled = coarse, config.use_coarse
        self.attention = SharedMemoryAttention(dim, config.num_heads)
        self.norm = nn.LayerNorm(dim)
        self.position, self.time = SegmentEmbedding(dim), TimeEmbedding(dim)
        self.reader = RegionReader(dim, config.neck.edge_dim, coarse.edge_points, 0, 0)
        self.drift = nn.Sequential(
            nn.Linear(dim, coarse.hidden_multiple * dim), nn.GELU(), nn.Linear(coarse.hidden_multiple * dim, dim)
        )
        self.heads = TaskHeads(dim, coarse.edge_points, 0)

    def forward(self, state: QueryState, memory: StreamMemory) -> StepTrace:
        """S_c steps from the interval prior; switched off, one step that only scores it."""
        initial, num_steps = state, self.config.num_steps if self.enabled else 1
        step, stages = 1.0 / num_steps, []
        energy = torch.zeros(len(state.latents), device=state.latents.device)
        for index in range(num_steps):
            if self.enabled:
                state, drift = self.step(state, memory, index * step, step)
                energy = energy + _mean_energy(drift, step, self.config.sigma)
            else:
                state = self.score(state, memory)
            stages.append(state)
        exists = memory.present[:, None].expand_as(state.logits)
        segments = torch.stack([stage.segments for stage in stages])
        logits = torch.stack([stage.logits for stage in stages])
        return StepTrace(initial, segments, logits, memory.present.expand(num_steps, -1), exists, state, energy)

    def step(self, state: QueryState, memory: StreamMemory, t: float, step: float) -> tuple[QueryState, Tensor]:
        """One step from time t; the reference segment enters without its gradient."""
        segments = state.segments if t == 0.0 else state.segments.detach()
        windows = self._windows(segments, memory)
        region = self.reader(segments.detach(), memory, windows)
        time = self.time(torch.tensor(t, device=region.device))
        attended = self.attention(state.latents + self.position(segments) + time, memory.key, memory.value, memory.bias)
        drift = self.drift(self.norm(state.latents + attended) + region + time)
        latents = euler_step(state.latents, drift.float(), step)
        return self.heads(latents, region, segments, windows, memory.edges.length_cells), drift

    def score(self, state: QueryState, memory: StreamMemory) -> QueryState:
        """The state as it is, with confidences: what stands in for a coarse bridge that is switched off."""
        windows = self._windows(state.segments, memory)
        region = self.reader(state.segments.detach(), memory, windows)
        scored: QueryState = self.heads(state.latents, region, state.segments, windows, memory.edges.length_cells)
        return QueryState(state.latents, state.segments, scored.logits)

    def _windows(self, segments: Tensor, memory: StreamMemory) -> Windows:
        length = (segments[..., 1:] - segments[..., :1]).detach()
        cells = self.config.window_cells / memory.edges.length_cells[:, None, None]
        return Windows(cells + self.config.window_share * length, None)


def _mean_energy(drift: Tensor, step: float, sigma: float) -> Tensor:
    """(B, N, d) -> (B,): the step's control energy, mean over queries, per dimension."""
    return step_energy(drift.detach().float(), step, sigma).mean(dim=1) / drift.shape[-1]
