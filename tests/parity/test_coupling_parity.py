"""The coupling against independent solvers: POT's scalar Sinkhorn, and iteration written out by hand."""

from __future__ import annotations

import numpy as np
import ot
import torch

from iamsb_core.bridge.coupling import entropic_coupling


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return 3.0 * rng.random((6, 9)), rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(9))


def solved(num_iterations: int, epsilon: float) -> np.ndarray:
    batched = (torch.from_numpy(part)[None] for part in problem())
    return entropic_coupling(*batched, epsilon=epsilon, num_iterations=num_iterations).plan[0].numpy()


def test_converged_plan_is_that_of_pots_scalar_solver() -> None:
    cost, source, target = problem()
    reference = ot.sinkhorn(source, target, cost, reg=0.5, stopThr=1e-12, numItermax=5000)
    np.testing.assert_allclose(solved(500, 0.5), reference, atol=1e-9)


def test_a_single_iteration_is_the_mean_of_both_orders_written_out() -> None:
    cost, source, target = problem()

    def one_iteration(kernel: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        left = first / kernel.sum(axis=1)
        right = second / (kernel * left[:, None]).sum(axis=0)
        return left[:, None] * kernel * right

    kernel = np.exp(-cost)
    expected = 0.5 * (one_iteration(kernel, source, target) + one_iteration(kernel.T, target, source).T)
    np.testing.assert_allclose(solved(1, 1.0), expected, atol=1e-12)


def test_a_small_epsilon_approaches_the_exact_transport_cost_from_above() -> None:
    cost, source, target = problem()
    exact = ot.emd2(source, target, cost)
    plan = solved(5000, 0.01)
    assert exact <= (plan * cost).sum() <= exact + 0.02
