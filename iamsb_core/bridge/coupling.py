"""The static bridge: an entropic coupling of two discrete laws, batched, in the log domain, by POT.

Pi = argmin <Pi, C> + epsilon sum Pi log Pi. A single Sinkhorn iteration meets the marginal it ends on exactly and the
other one not, so it depends on which side comes first. Both orders are run and averaged, so that swapping the two
sides transposes the plan. Shapes: B problems, N and M atoms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from ot.batch import bregman_log_projection_batch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Coupling:
    """Plans of a batch of problems."""

    log_plan: Tensor
    """(B, N, M)"""
    matched_mass: Tensor
    """(B,): mass that the inexact marginals leave in place, in [0, 1]; 1 at convergence"""

    @property
    def plan(self) -> Tensor:
        return self.log_plan.exp()


def entropic_coupling(
    cost: Tensor, source: Tensor, target: Tensor, *, epsilon: float = 1.0, num_iterations: int = 1
) -> Coupling:
    """Couple `source` (B, N) with `target` (B, M) under `cost` (B, N, M); both sum to 1 and are positive.

    Gradients flow to all three through every iteration. The plan converges to the marginals as num_iterations grows.
    Raises ValueError for a non-positive epsilon or iteration count.
    """
    if not epsilon > 0.0 or num_iterations < 1:
        raise ValueError(f"need epsilon > 0 and at least one iteration, got {epsilon} and {num_iterations}")
    affinity = -cost / epsilon
    forward = _one_order(affinity, source, target, num_iterations)
    backward = _one_order(affinity.mT, target, source, num_iterations)
    log_plan = torch.logaddexp(forward, backward.mT) - math.log(2.0)
    left_in_place = _kept(forward, source) + _kept(backward, target)
    return Coupling(log_plan, 0.5 * left_in_place)


def _one_order(affinity: Tensor, first: Tensor, second: Tensor, num_iterations: int) -> Tensor:
    """Log plan (B, N, M) whose second marginal is exact; tol = 0 keeps batch mates from deciding when to stop."""
    solved = bregman_log_projection_batch(affinity, first, second, max_iter=num_iterations, tol=0.0, grad="autodiff")
    log_plan: Tensor = solved["log_T"]
    return log_plan


def _kept(log_plan: Tensor, marginal: Tensor) -> Tensor:
    """sum_p min((Pi 1)_p, a_p): (B,)."""
    return torch.minimum(log_plan.exp().sum(dim=2), marginal).sum(dim=1)
