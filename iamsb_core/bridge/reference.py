"""The reference: Brownian motion of scale sigma, and the Brownian bridge, the reference pinned at both ends.

Shapes: x_0 and x_1 are any two tensors of one shape; t is a number or a tensor that broadcasts against them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def _noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal of the tensor's shape, drawn where the generator lives and moved to the tensor's device."""
    device = like.device if generator is None else generator.device
    return torch.randn(like.shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


def _as_time(t: Tensor | float, like: Tensor) -> Tensor:
    time = torch.as_tensor(t, dtype=like.dtype, device=like.device)
    if bool(((time < 0.0) | (time > 1.0)).any()):
        raise ValueError(f"bridge times lie in [0, 1], got {time.tolist()}")
    return time


@dataclass(frozen=True, slots=True)
class BrownianReference:
    """The Wiener process R that every bridge here is measured against: dX = sigma dW."""

    sigma: float

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma < math.inf:
            raise ValueError(f"the reference needs a positive sigma, got {self.sigma}")

    def sample(self, x_0: Tensor, t: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """X_t given X_0 = x_0: Gaussian around x_0 with variance sigma^2 t."""
        return x_0 + self.sigma * _as_time(t, x_0).sqrt() * _noise(x_0, generator)

    def bridge(self, x_0: Tensor, x_1: Tensor) -> BrownianBridge:
        """The reference pinned to x_0 at t = 0 and to x_1 at t = 1."""
        return BrownianBridge(x_0, x_1, self.sigma)


@dataclass(frozen=True, slots=True)
class BrownianBridge:
    """The reference given both its ends."""

    x_0: Tensor
    x_1: Tensor
    sigma: float

    def mean(self, t: Tensor | float) -> Tensor:
        """(1 - t) x_0 + t x_1."""
        time = _as_time(t, self.x_0)
        return (1.0 - time) * self.x_0 + time * self.x_1

    def std(self, t: Tensor | float) -> Tensor:
        """sigma sqrt(t (1 - t)), in the shape of t: zero at both ends."""
        time = _as_time(t, self.x_0)
        return self.sigma * (time * (1.0 - time)).sqrt()

    def sample(self, t: Tensor | float, generator: torch.Generator | None = None) -> Tensor:
        """X_t, drawn from its marginal."""
        return self.mean(t) + self.std(t) * _noise(self.x_0, generator)

    def drift(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        """(x_1 - x_t) / (1 - t): the control that pulls the reference to x_1. Raises ValueError at t = 1."""
        time = _as_time(t, self.x_0)
        if bool((time >= 1.0).any()):
            raise ValueError("the bridge has no drift at t = 1, where it has arrived")
        return (self.x_1 - x_t) / (1.0 - time)

    def sample_path(self, num_steps: int, generator: torch.Generator | None = None) -> Tensor:
        """(num_steps + 1, ...): one path at t = 0, 1/S, ..., 1, exact in law at those times."""
        path = [self.x_0]
        for step in range(num_steps):
            remaining = 1.0 - step / num_steps
            share = 1.0 / (num_steps - step)
            std = self.sigma * math.sqrt(max(remaining * share * (1.0 - share), 0.0))
            path.append(path[-1] + share * (self.x_1 - path[-1]) + std * _noise(self.x_0, generator))
        return torch.stack(path)
