"""The entropic coupling: its marginals, its symmetry, and that nothing but the problem decides it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.bridge.coupling import entropic_coupling


def problem(seed: int, num_source: int = 7, num_target: int = 7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    cost = 4.0 * torch.rand(3, num_source, num_target, generator=generator, dtype=torch.float64)
    source = torch.rand(3, num_source, generator=generator, dtype=torch.float64) + 0.01
    target = torch.rand(3, num_target, generator=generator, dtype=torch.float64) + 0.01
    return cost, source / source.sum(1, keepdim=True), target / target.sum(1, keepdim=True)


def worst_marginal(cost: torch.Tensor, source: torch.Tensor, target: torch.Tensor, num_iterations: int) -> float:
    plan = entropic_coupling(cost, source, target, num_iterations=num_iterations).plan
    return max((plan.sum(2) - source).abs().max().item(), (plan.sum(1) - target).abs().max().item())


def test_a_free_choice_is_the_product_of_the_marginals() -> None:
    _, source, target = problem(0)
    plan = entropic_coupling(torch.zeros(3, 7, 7, dtype=torch.float64), source, target).plan
    torch.testing.assert_close(plan, source[:, :, None] * target[:, None])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_one_iteration_keeps_the_whole_mass_and_leaves_some_unmatched(seed: int) -> None:
    coupling = entropic_coupling(*problem(seed))
    torch.testing.assert_close(coupling.plan.sum((1, 2)), torch.ones(3, dtype=torch.float64))
    assert bool((coupling.matched_mass > 0.0).all())
    assert bool((coupling.matched_mass <= 1.0 + 1e-12).all())


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_more_iterations_converge_to_both_marginals(seed: int) -> None:
    given_problem = problem(seed, 5, 9)
    errors = [worst_marginal(*given_problem, num_iterations) for num_iterations in (1, 5, 200)]
    assert errors[0] >= errors[1] >= errors[2]
    assert errors[2] < 1e-7
    mass = entropic_coupling(*given_problem, num_iterations=200).matched_mass
    torch.testing.assert_close(mass, torch.ones(3, dtype=torch.float64))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_swapping_the_sides_transposes_the_plan(seed: int, num_iterations: int) -> None:
    cost, source, target = problem(seed, 6, 8)
    there = entropic_coupling(cost, source, target, num_iterations=num_iterations)
    back = entropic_coupling(cost.mT, target, source, num_iterations=num_iterations)
    torch.testing.assert_close(there.log_plan, back.log_plan.mT)
    torch.testing.assert_close(there.matched_mass, back.matched_mass)


def test_batch_mates_change_nothing() -> None:
    cost, source, target = problem(3)
    together = entropic_coupling(cost, source, target, num_iterations=12).plan[:1]
    alone = entropic_coupling(cost[:1], source[:1], target[:1], num_iterations=12).plan
    torch.testing.assert_close(together, alone)


def test_huge_costs_stay_finite_and_choose_the_cheap_cells() -> None:
    cost = 1e4 * (1.0 - torch.eye(4))[None]
    even = torch.full((1, 4), 0.25)
    plan = entropic_coupling(cost, even, even).plan[0]
    torch.testing.assert_close(plan, 0.25 * torch.eye(4))


def test_the_gradient_reaches_the_cost() -> None:
    cost, source, target = problem(1)
    cost.requires_grad_()
    (entropic_coupling(cost, source, target).plan * cost.detach()).sum().backward()
    assert cost.grad is not None
    assert bool(cost.grad.abs().sum() > 0)


@pytest.mark.parametrize(("epsilon", "num_iterations"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_impossible_settings_are_refused(epsilon: float, num_iterations: int) -> None:
    with pytest.raises(ValueError, match="epsilon > 0"):
        entropic_coupling(*problem(0), epsilon=epsilon, num_iterations=num_iterations)
