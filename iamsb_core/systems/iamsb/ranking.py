"""How much of a proposal's claim is believed: a logistic fit, on clips not trained on, of what speaks for it (ours).

On training clips every score is near the truth, so a network cannot learn there how far its confidence, its cells and
its boundaries can be trusted on people it has not seen; six numbers of each stream can be read from a dev split.
Shapes: B clips, N queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from iamsb_core.metrics.protocols import LAVDF

HIT_TIOUS = LAVDF.ap_tious
"""a segment is right by the share of these that its tiou exceeds"""
_NUM_FEATURES = 5
_LEAST = 1e-4
_RIDGE = 10.0
"""of the squared coefficients of standardised features, beside a sum over proposals"""
_FEWEST_HITS = 300.0
"""sum of the targets, and of 1 - them, below which nothing is fitted: fifty for each coefficient. A dev split of 180
clips has 550 and more, one of 48 has 150, and a fit to that was no better than the pool on other people"""


class ProposalRanking(nn.Module):
    """sigmoid(w f + b) of five features; at rest, with all coefficients 0, until it was fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.coefficients: Tensor
        self.register_buffer("coefficients", torch.zeros(_NUM_FEATURES + 1))

    @property
    def is_fitted(self) -> bool:
        """Whether there is anything to rank by."""
        return bool(self.coefficients.any())

    def forward(self, features: Tensor) -> Tensor:
        """(B, N, 5) -> (B, N): the expected share of HIT_TIOUS that the segment exceeds."""
        return (features @ self.coefficients[:-1] + self.coefficients[-1]).sigmoid()

    def fit(self, features: Tensor, targets: Tensor) -> None:
        """Set the coefficients from (P, 5) and (P,) in [0, 1]; too few hits or misses leave them as they are."""
        rows, wanted = (x.double().cpu().numpy() for x in (features, targets))
        if min(wanted.sum(), (1.0 - wanted).sum()) < _FEWEST_HITS:
            return
        found = _fitted(rows, wanted)
        self.coefficients.copy_(torch.from_numpy(found).to(self.coefficients))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """A model of before there was a ranking is at rest."""
        known = dict(state_dict)
        known.setdefault(f"{prefix}coefficients", torch.zeros_like(self.coefficients))
        super()._load_from_state_dict(known, prefix, *rest)


def ranking_features(confidence: Tensor, inside: Tensor, edges: Tensor, lengths_seconds: Tensor) -> Tensor:
    """(B, N, 5): log odds of the query's confidence, the cells inside and both ends; log length and its square."""
    odds = [torch.logit(x.float().clamp(_LEAST, 1.0 - _LEAST)) for x in (confidence, inside, edges)]
    length = lengths_seconds.float().clamp_min(_LEAST).log()
    return torch.stack([*odds, length, length.square()], dim=-1)


def hit_share(tious: Tensor) -> Tensor:
    """(...): the share of HIT_TIOUS below each tiou."""
    return torch.stack([tious > threshold for threshold in HIT_TIOUS]).float().mean(dim=0)


def _fitted(rows: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ridge-penalised logistic regression (the bias free) on standardised rows; (6,) for rows as they are."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    scaled = (rows - mean) / deviation

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = parameters[:-1], parameters[-1]
        raw = scaled @ weights + bias
        slack = 1.0 / (1.0 + np.exp(-np.clip(raw, -40.0, 40.0))) - wanted
        value = (np.logaddexp(0.0, raw) - wanted * raw).sum() + 0.5 * _RIDGE * (weights @ weights)
        return float(value), np.append(scaled.T @ slack + _RIDGE * weights, slack.sum())

    best = minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B").x
    weights = best[:-1] / deviation
    found: NDArray[np.float64] = np.append(weights, best[-1] - weights @ mean)
    return found
