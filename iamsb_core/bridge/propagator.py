"""The S-step propagator Phi_S: a controlled diffusion dZ = u dt + sigma dW in S equal steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Drift = Callable[[Tensor, float], Tensor]
"""u(z, t), in the shape of z"""


def euler_step(state: Tensor, drift: Tensor, step: Tensor | float) -> Tensor:
    """Z + Delta u: one step of the propagator; `step` broadcasts, so that samples may differ in their Delta."""
    return state + step * drift


def propagate(
    state: Tensor, drift: Drift, num_steps: int, *, sigma: float = 0.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Phi_S by Euler-Maruyama: the path (S + 1, ...) and the drifts taken (S, ...).

    sigma = 0 gives the deterministic propagator. Raises ValueError for fewer than one step.
    """
    if num_steps < 1:
        raise ValueError(f"a propagator needs at least one step, got {num_steps}")
    step = 1.0 / num_steps
    path, drifts = [state], []
    for index in range(num_steps):
        control = drift(path[-1], index * step)
        following = euler_step(path[-1], control, step)
        if sigma > 0.0:
            noise = torch.randn(state.shape, generator=generator, dtype=state.dtype)
            following = following + sigma * math.sqrt(step) * noise.to(state.device)
        path.append(following)
        drifts.append(control)
    return torch.stack(path), torch.stack(drifts)
