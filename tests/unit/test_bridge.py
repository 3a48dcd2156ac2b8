"""The mathematics of bridges against closed forms: marginals, drifts, energy, reachability."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from iamsb_core.bridge.energy import control_energy, steps_to_reach
from iamsb_core.bridge.gaussian import GaussianSchrodingerBridge
from iamsb_core.bridge.propagator import propagate
from iamsb_core.bridge.reference import BrownianBridge, BrownianReference

DRAWS = 20_000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_bridge(sigma: float = 0.8) -> GaussianSchrodingerBridge:
    """From a round law to a slanted one, two-dimensional."""
    start = torch.tensor([[0.5, 0.1], [0.1, 0.4]], dtype=torch.float64)
    end = torch.tensor([[1.2, -0.3], [-0.3, 0.3]], dtype=torch.float64)
    means = torch.tensor([-1.0, 0.5], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    return GaussianSchrodingerBridge(means[0], start, means[1], end, sigma)


def drawn(mean: torch.Tensor, covariance: torch.Tensor, num: int = DRAWS) -> torch.Tensor:
    noise = torch.randn(num, len(mean), generator=seeded(1), dtype=torch.float64)
    return mean + noise @ torch.linalg.cholesky(covariance).mT


def test_the_bridge_halfway_by_hand() -> None:
    bridge = BrownianBridge(torch.tensor([0.0]), torch.tensor([4.0]), sigma=2.0)
    assert bridge.mean(0.25).item() == pytest.approx(1.0)
    assert bridge.std(0.25).item() == pytest.approx(2.0 * (0.25 * 0.75) ** 0.5)
    assert bridge.drift(torch.tensor([1.0]), 0.25).item() == pytest.approx(4.0)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_bridge_has_its_gaussian_marginals(t: float) -> None:
    bridge = BrownianBridge(torch.zeros(DRAWS), torch.ones(DRAWS), sigma=2.0)
    sample = bridge.sample(t, seeded())
    assert scipy.stats.kstest(sample.numpy(), "norm", args=(t, 2.0 * (t * (1 - t)) ** 0.5)).pvalue > 0.01


def test_a_sampled_path_is_pinned_and_has_the_bridges_marginals() -> None:
    path = BrownianBridge(torch.zeros(DRAWS), torch.ones(DRAWS), sigma=1.5).sample_path(4, seeded())
    assert torch.equal(path[0], torch.zeros(DRAWS))
    torch.testing.assert_close(path[-1], torch.ones(DRAWS))
    for step in (1, 2, 3):
        t = step / 4
        law = (t, 1.5 * (t * (1 - t)) ** 0.5)
        assert scipy.stats.kstest(path[step].numpy(), "norm", args=law).pvalue > 0.01


def test_the_reference_spreads_with_the_root_of_time() -> None:
    sample = BrownianReference(0.5).sample(torch.full((DRAWS,), 3.0), 0.64, seeded())
    assert scipy.stats.kstest(sample.numpy(), "norm", args=(3.0, 0.4)).pvalue > 0.01


def test_equal_generators_draw_equal_bridges() -> None:
    bridge = BrownianReference(1.0).bridge(torch.zeros(3), torch.ones(3))
    assert torch.equal(bridge.sample(0.5, seeded(7)), bridge.sample(0.5, seeded(7)))


@pytest.mark.parametrize("t", [-0.1, 1.1])
def test_times_outside_the_bridge_are_refused(t: float) -> None:
    with pytest.raises(ValueError, match="lie in"):
        BrownianBridge(torch.zeros(1), torch.ones(1), 1.0).mean(t)


def test_the_arrived_bridge_has_no_drift() -> None:
    with pytest.raises(ValueError, match="arrived"):
        BrownianBridge(torch.zeros(1), torch.ones(1), 1.0).drift(torch.zeros(1), 1.0)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_the_reference_needs_a_positive_sigma(sigma: float) -> None:
    with pytest.raises(ValueError, match="positive sigma"):
        BrownianReference(sigma)


def test_gaussian_marginals_end_in_the_given_laws() -> None:
    bridge = gaussian_bridge()
    for t, mean, covariance in ((0.0, bridge.mean_0, bridge.cov_0), (1.0, bridge.mean_1, bridge.cov_1)):
        found_mean, found_covariance = bridge.marginal(t)
        torch.testing.assert_close(found_mean, mean)
        torch.testing.assert_close(found_covariance, covariance)


def test_the_gaussian_coupling_in_one_dimension_by_hand() -> None:
    # A = B = 1, sigma = 1: D = sqrt(4 + 1), C = (sqrt(5) - 1) / 2
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    cross = GaussianSchrodingerBridge(zero, one, zero, one, 1.0).cross_covariance()
    assert cross.item() == pytest.approx((5**0.5 - 1) / 2)


def test_the_gaussian_coupling_minimises_the_entropic_cost() -> None:
    """Any other correlation between the ends has a larger KL to the reference."""
    bridge, step = gaussian_bridge(), 1e-3
    best = bridge.cross_covariance()

    def cost(cross: torch.Tensor) -> float:
        conditional = bridge.cov_1 - cross.mT @ torch.linalg.solve(bridge.cov_0, cross)
        moved = (bridge.cov_0 + bridge.cov_1 - cross - cross.mT).trace()
        return float(moved / bridge.sigma**2 - torch.logdet(conditional))

    for direction in (torch.eye(2), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, -1.0]])):
        for sign in (-1.0, 1.0):
            assert cost(best + sign * step * direction.double()) > cost(best)


def test_the_gaussian_drift_carries_one_law_to_the_other_and_spends_the_closed_form_energy() -> None:
    bridge = gaussian_bridge()
    start = drawn(bridge.mean_0, bridge.cov_0)
    path, drifts = propagate(start, bridge.drift, 100, sigma=bridge.sigma, generator=seeded(2))
    torch.testing.assert_close(path[-1].mean(0), bridge.mean_1, atol=0.03, rtol=0.0)
    torch.testing.assert_close(path[-1].T.cov(), bridge.cov_1, atol=0.05, rtol=0.0)
    middle_mean, middle_covariance = bridge.marginal(0.5)
    torch.testing.assert_close(path[50].mean(0), middle_mean, atol=0.03, rtol=0.0)
    torch.testing.assert_close(path[50].T.cov(), middle_covariance, atol=0.05, rtol=0.0)
    energy = control_energy(drifts, bridge.sigma).mean().item()
    assert energy == pytest.approx(bridge.control_energy(), rel=0.03)


def test_eulers_error_falls_in_proportion_to_the_step() -> None:
    """First order: dz = -z dt from 1, whose end is exp(-1)."""
    steps = np.array([8, 16, 32, 64])
    start = torch.ones(1, dtype=torch.float64)
    errors = [abs(propagate(start, lambda z, _: -z, int(n))[0][-1].item() - np.exp(-1)) for n in steps]
    slope = np.polyfit(np.log(1 / steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("num_steps", [1, 2, 12])
def test_zero_drift_is_the_identity_however_many_steps(num_steps: int) -> None:
    start = torch.randn(5, 3, generator=seeded())
    path, _ = propagate(start, lambda z, _: torch.zeros_like(z), num_steps)
    assert torch.equal(path[-1], start)


def test_a_propagator_needs_a_step() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        propagate(torch.zeros(1), lambda z, _: z, 0)


def test_control_energy_by_hand() -> None:
    # two steps of drift (3, 4): Delta ||u||^2 / (2 sigma^2) = 2 * 0.5 * 25 / 8
    drifts = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    assert control_energy(drifts, sigma=2.0).item() == pytest.approx(25 / 8)


def test_steps_to_reach_is_the_first_step_within_tolerance() -> None:
    assert steps_to_reach([0.9, 0.4, 0.05, 0.2], 0.1) == 2
    assert steps_to_reach([0.05, 0.4], 0.1) == 0
    assert steps_to_reach([0.9, 0.4], 0.1) is None
