"""Every random choice of training, drawn from the one generator that forward was given."""

from __future__ import annotations

import torch
from torch import Tensor

from iamsb_core.processes import batch_draw


class Noise:
    """Draws on the generator's device (the CPU) and moves; with no generator nothing is random.

    The first axis of every shape is the clips: a process that has a share of a batch draws what the whole would.
    """

    def __init__(self, generator: torch.Generator | None) -> None:
        self.generator = generator

    @property
    def silent(self) -> bool:
        return self.generator is None

    def normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Standard normal; zeros where nothing is random."""
        if self.generator is None:
            return torch.zeros(shape, device=like.device)
        return batch_draw(self._normal, shape).to(like.device)

    def gumbel(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Standard Gumbel: its perturbed top-n is a sample without replacement. Zeros where nothing is random."""
        if self.generator is None:
            return torch.zeros(shape, device=like.device)
        uniform = batch_draw(self._uniform, shape).clamp(1e-9, 1.0 - 1e-7)
        return -torch.log(-torch.log(uniform)).to(like.device)

    def keep(self, shape: tuple[int, ...], drop: float, like: Tensor) -> Tensor:
        """1 / (1 - drop) with probability 1 - drop, else 0; ones where nothing is random."""
        if self.generator is None or drop <= 0.0:
            return torch.ones(shape, device=like.device)
        kept = batch_draw(self._uniform, shape) >= drop
        return kept.to(like.device, torch.float32) / (1.0 - drop)

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self.generator)
