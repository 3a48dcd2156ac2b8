"""What a bridge costs: control energy, and the number of steps that reach a tolerance."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def step_energy(drift: Tensor, step: Tensor | float, sigma: float) -> Tensor:
    """Delta ||u||^2 / (2 sigma^2) of one step, the norm taken over the last axis: (..., d) -> (...)."""
    return step * drift.square().sum(dim=-1) / (2.0 * sigma**2)


def control_energy(drifts: Tensor, sigma: float) -> Tensor:
    """int ||u_t||^2 / (2 sigma^2) dt of the drifts of S equal steps: (S, ..., d) -> (...)."""
    return step_energy(drifts, 1.0 / len(drifts), sigma).sum(dim=0)


def steps_to_reach(discrepancies: Sequence[float], epsilon: float) -> int | None:
    """S*(epsilon) = min{S : D(Phi_S(nu_0), nu_1) <= epsilon}; None where no step gets there.

    discrepancies[S] is D after S steps, discrepancies[0] that of nu_0 itself.
    """
    return next((step for step, value in enumerate(discrepancies) if value <= epsilon), None)
