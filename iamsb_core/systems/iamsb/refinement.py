"""The refinement bridge (RSB): each selected query of a stream takes exactly S_r^m steps of size 1 / S_r^m.

Steps differ between clips. Clips are sorted by their number of steps, so those still running are always the first,
and a clip that has finished leaves the work: saved steps are saved time. Cost O(S_r N L).
Shapes: B clips, N selected queries, L cells, k witnesses, d width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.bridge.energy import step_energy
from iamsb_core.bridge.propagator import euler_step
from iamsb_core.systems.attention import key_bias
from iamsb_core.systems.iamsb.attention import SelfAttention, SharedMemoryAttention, WitnessAttention
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.heads import RegionReader, TaskHeads, Windows
from iamsb_core.systems.iamsb.memory import StreamMemory
from iamsb_core.systems.iamsb.state import QueryState, StepTrace, join
from iamsb_core.systems.sampling import SegmentEmbedding, TimeEmbedding


@dataclass(frozen=True)
class WitnessMemory:
    """Keys and values of every query's own witnesses, made once for all steps."""

    key: Tensor
    """(B, N, H, k, d / H)"""
    value: Tensor
    bias: Tensor
    """(B, N, k)"""
    present: Tensor
    """(B,) bool"""

    def take(self, index: Tensor) -> WitnessMemory:
        return WitnessMemory(self.key[index], self.value[index], self.bias[index], self.present[index])

    def first(self, num_clips: int) -> WitnessMemory:
        return WitnessMemory(
            self.key[:num_clips], self.value[:num_clips], self.bias[:num_clips], self.present[:num_clips]
        )


@dataclass(frozen=True)
class RunningClips:
    """The clips that still have steps to take, with all that a step reads."""

    state: QueryState
    exists: Tensor
    """(B, N) bool: which queries count"""
    num_steps: Tensor
    """(B,) long: S_r^m"""
    memory: StreamMemory
    witnesses: WitnessMemory | None

    @property
    def step_size(self) -> Tensor:
        """(B, 1, 1): Delta = 1 / S_r^m."""
        return 1.0 / self.num_steps[:, None, None].float()

    def take(self, index: Tensor) -> RunningClips:
        witnesses = None if self.witnesses is None else self.witnesses.take(index)
        state, memory = self.state.take(index), self.memory.take(index)
        return RunningClips(state, self.exists[index], self.num_steps[index], memory, witnesses)

    def first(self, num_clips: int) -> RunningClips:
        witnesses = None if self.witnesses is None else self.witnesses.first(num_clips)
        state, memory = self.state.first(num_clips), self.memory.first(num_clips)
        return RunningClips(state, self.exists[:num_clips], self.num_steps[:num_clips], memory, witnesses)


class RefinementBridge(nn.Module):
    """The drift u_r, shared over steps: memory attention, self-attention, witness attention, fused."""

    def __init__(self, config: IamsbConfig, fine: bool) -> None:
        super().__init__()
        refinement, dim = config.refinement, config.dim
        fine_dim, fine_points = (refinement.fine_dim, refinement.fine_points) if fine else (0, 0)
        self.config, self.sigma = refinement, config.coarse.sigma
        self.memory_attention = SharedMemoryAttention(dim, config.num_heads)
        self.self_attention = SelfAttention(dim, config.num_heads)
        self.witness_attention = WitnessAttention(dim, config.num_heads) if config.use_witness else None
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.fuse = nn.Linear(2 * dim, dim)
        self.position, self.time = SegmentEmbedding(dim), TimeEmbedding(dim)
        self.reader = RegionReader(dim, config.neck.edge_dim, refinement.edge_points, fine_dim, fine_points)
        self.drift = nn.Sequential(
            nn.Linear(dim, refinement.hidden_multiple * dim),
            nn.GELU(),
            nn.Linear(refinement.hidden_multiple * dim, dim),
        )
        self.heads = TaskHeads(dim, refinement.edge_points, fine_points)

    def forward(self, start: RunningClips) -> StepTrace:
        """Run every clip's own number of steps."""
        order = start.num_steps.argsort(descending=True, stable=True)
        back = order.argsort()
        segments, logits, final, energy = self._run(start.take(order))
        most = len(segments)
        active = torch.arange(most, device=back.device)[:, None] < start.num_steps
        return StepTrace(
            start.state, segments[:, back], logits[:, back], active, start.exists, final.take(back), energy[back]
        )

    def _run(self, clips: RunningClips) -> tuple[Tensor, Tensor, QueryState, Tensor]:
        """Clips by falling number of steps: stacked segments and logits, zeros where a clip had finished."""
        num_clips, finished = len(clips.exists), list[QueryState]()
        segments = [clips.state.segments.new_zeros(0, *clips.state.segments.shape)]
        logits = [clips.state.logits.new_zeros(0, *clips.state.logits.shape)]
        energies = torch.zeros(num_clips, device=clips.exists.device)
        counts = clips.num_steps.tolist()
        for index in range(max(counts, default=0)):
            running = sum(count > index for count in counts)
            if running < len(clips.exists):
                finished.insert(0, clips.state.last(running))
                clips = clips.first(running)
            state, drift = self.step(clips, index)
            clips = replace(clips, state=state)
            missing = num_clips - running
            segments.append(F.pad(state.segments, (0, 0, 0, 0, 0, missing))[None])
            logits.append(F.pad(state.logits, (0, 0, 0, missing))[None])
            energies = energies + F.pad(self._mean_energy(drift, clips), (0, missing))
        return torch.cat(segments), torch.cat(logits), join([clips.state, *finished]), energies

    def step(self, clips: RunningClips, index: int) -> tuple[QueryState, Tensor]:
        """Step `index` of every clip; the segment enters without its gradient."""
        z, segments, memory = clips.state.latents, clips.state.segments.detach(), clips.memory
        step = clips.step_size
        t = index * step
        windows = self._windows(segments, memory, index / (clips.num_steps - 1).clamp_min(1)[:, None, None])
        region = self.reader(segments, memory, windows)
        place = self.position(segments) + self.time(t[..., 0])
        u = self.norms[0](z + self.memory_attention(z + place, memory.key, memory.value, memory.bias))
        u = self.norms[1](u + self.self_attention(u, place, key_bias(clips.exists)))
        fused = self.fuse(torch.cat([u, self._witnessed(u + place, clips.witnesses)], dim=-1))
        drift = self.drift(self.norms[2](u + fused) + region)
        latents = euler_step(z, drift.float(), step)
        return self.heads(latents, region, segments, windows, memory.edges.length_cells), drift

    def _witnessed(self, u: Tensor, witnesses: WitnessMemory | None) -> Tensor:
        if self.witness_attention is None or witnesses is None:
            return torch.zeros_like(u)
        attended = self.witness_attention(u, witnesses.key, witnesses.value, witnesses.bias)
        return attended * witnesses.present[:, None, None]  # type: ignore[no-any-return]

    def _windows(self, segments: Tensor, memory: StreamMemory, progress: Tensor) -> Windows:
        """From the first step's sizes at progress 0 to the last's at 1, (B, 1, 1); a single step is a first one."""
        config, length = self.config, segments[..., 1:] - segments[..., :1]
        rest = 1.0 - progress
        cells = rest * config.first_window_cells + progress * config.last_window_cells
        share = rest * config.first_window_share + progress * config.last_window_share
        main = cells / memory.edges.length_cells[:, None, None] + share * length
        if memory.fine is None:
            return Windows(main, None)
        seconds = rest * config.first_fine_window_seconds + progress * config.last_fine_window_seconds
        return Windows(main, (seconds / memory.duration_seconds[:, None, None]).expand_as(main))

    def _mean_energy(self, drift: Tensor, clips: RunningClips) -> Tensor:
        """(n,): the step's control energy, mean over the queries that exist, per dimension."""
        energy = step_energy(drift.detach().float(), clips.step_size[..., 0], self.sigma) / drift.shape[-1]
        return (energy * clips.exists).sum(dim=1) / clips.exists.sum(dim=1).clamp_min(1)
