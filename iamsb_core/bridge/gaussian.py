"""The Schroedinger bridge between two Gaussians in closed form: what a solver is checked against.

With reference sigma dW the optimal static coupling of N(m_0, A) and N(m_1, B) is Gaussian, with cross-covariance
C = (A^(1/2) D A^(-1/2) - sigma^2 I) / 2, D = (4 A^(1/2) B A^(1/2) + sigma^4 I)^(1/2)
(Janati et al. 2020; Bunne et al. 2023). Everything else follows: given its ends the bridge is Brownian.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def _symmetric_power(matrix: Tensor, power: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    result: Tensor = vectors @ torch.diag(values.clamp_min(0.0) ** power) @ vectors.mT
    return result


@dataclass(frozen=True, slots=True)
class GaussianSchrodingerBridge:
    """The bridge from N(mean_0, cov_0) to N(mean_1, cov_1), d-dimensional, covariances positive definite."""

    mean_0: Tensor
    cov_0: Tensor
    mean_1: Tensor
    cov_1: Tensor
    sigma: float

    def cross_covariance(self) -> Tensor:
        """(d, d): Cov(X_0, X_1) of the optimal coupling."""
        root, inverse_root = _symmetric_power(self.cov_0, 0.5), _symmetric_power(self.cov_0, -0.5)
        identity = torch.eye(len(self.mean_0), dtype=self.cov_0.dtype)
        middle = _symmetric_power(4.0 * root @ self.cov_1 @ root + self.sigma**4 * identity, 0.5)
        cross: Tensor = 0.5 * (root @ middle @ inverse_root - self.sigma**2 * identity)
        return cross

    def marginal(self, t: float) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of X_t."""
        cross = self.cross_covariance()
        identity = torch.eye(len(self.mean_0), dtype=self.cov_0.dtype)
        mean = (1.0 - t) * self.mean_0 + t * self.mean_1
        ends = (1.0 - t) ** 2 * self.cov_0 + t**2 * self.cov_1
        return mean, ends + t * (1.0 - t) * (cross + cross.mT + self.sigma**2 * identity)

    def drift(self, x_t: Tensor, t: float) -> Tensor:
        """u(x, t) = (E[X_1 | X_t = x] - x) / (1 - t), for x of shape (..., d) and t < 1."""
        mean, covariance = self.marginal(t)
        with_end = (1.0 - t) * self.cross_covariance().mT + t * self.cov_1
        gain = torch.linalg.solve(covariance, with_end.mT).mT
        control: Tensor = (self.mean_1 + (x_t - mean) @ gain.mT - x_t) / (1.0 - t)
        return control

    def control_energy(self) -> float:
        """E int ||u||^2 / (2 sigma^2) dt = KL of the coupling to the reference started in nu_0."""
        cross, dimension = self.cross_covariance(), len(self.mean_0)
        identity = torch.eye(dimension, dtype=self.cov_0.dtype)
        conditional = self.cov_1 - cross.mT @ torch.linalg.solve(self.cov_0, cross)
        moved = self.cov_0 + self.cov_1 - cross - cross.mT
        shift = (self.mean_1 - self.mean_0).square().sum() + moved.trace()
        variance = self.sigma**2
        log_ratio = torch.logdet(variance * identity) - torch.logdet(conditional)
        return float(0.5 * (shift / variance - dimension + log_ratio))
