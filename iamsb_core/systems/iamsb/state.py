"""What a bridge carries from step to step, and what it leaves behind.

Shapes: S steps, B clips, N queries, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class QueryState:
    """Queries of one stream at one time of a bridge."""

    latents: Tensor
    """Z, (B, N, d)"""
    segments: Tensor
    """(B, N, 2) starts and ends, shares of the duration, float32"""
    logits: Tensor
    """(B, N) of the confidence pi, float32"""

    def rows(self, index: Tensor) -> QueryState:
        """The queries of `index` (B, M) of each clip."""
        return QueryState(
            self.latents.gather(1, index[..., None].expand(-1, -1, self.latents.shape[-1])),
            self.segments.gather(1, index[..., None].expand(-1, -1, 2)),
            self.logits.gather(1, index),
        )

    def take(self, index: Tensor) -> QueryState:
        """The clips of `index`."""
        return QueryState(self.latents[index], self.segments[index], self.logits[index])

    def first(self, num_clips: int) -> QueryState:
        return QueryState(self.latents[:num_clips], self.segments[:num_clips], self.logits[:num_clips])

    def last(self, num_dropped: int) -> QueryState:
        """All but the first clips."""
        return QueryState(self.latents[num_dropped:], self.segments[num_dropped:], self.logits[num_dropped:])

    def detached(self, *, latents: bool = False) -> QueryState:
        """With the gradient of the task outputs cut, and of the latents too if asked."""
        z = self.latents.detach() if latents else self.latents
        return QueryState(z, self.segments.detach(), self.logits.detach())


def join(parts: list[QueryState]) -> QueryState:
    """The clips of all parts, in order."""
    return QueryState(
        torch.cat([part.latents for part in parts]),
        torch.cat([part.segments for part in parts]),
        torch.cat([part.logits for part in parts]),
    )


@dataclass(frozen=True)
class StepTrace:
    """What one bridge did to one stream."""

    initial: QueryState
    segments: Tensor
    """(S, B, N, 2) after every step; a clip that had finished keeps zeros, see `active`"""
    logits: Tensor
    """(S, B, N)"""
    active: Tensor
    """(S, B) bool: whether the clip took this step"""
    queries: Tensor
    """(B, N) bool: which queries exist"""
    final: QueryState
    energy: Tensor
    """(B,) control energy, mean over queries, per latent dimension"""

    @property
    def num_steps(self) -> int:
        return len(self.segments)
