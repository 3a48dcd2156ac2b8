"""OM-Pareto: one gradient out of a multimodal and a unimodal one that may disagree (paper, mechanism 3).

A gradient is a sequence of tensors, one for each parameter; its products are those of all of them laid end to end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from iamsb_core.systems.macb_df.config import ParetoConfig

_TINY = 1e-12


def combine(
    multimodal: Sequence[Tensor], unimodal: Sequence[Tensor], config: ParetoConfig
) -> tuple[list[Tensor], float]:
    """The gradient to descend by, and the cosine between the two.

    Gradients that agree (cosine of 0 or more) are added. Of those in conflict, each loses its part along the other (as
    PCGrad does; how much grows with the conflict), the shortest vector between what is left is taken (MGDA's Pareto
    point, which neither objective opposes), and it is stretched to the length that two orthogonal gradients of the
    given lengths would have together: the shortest vector alone would let the training fall asleep.
    """
    product, long_m, long_u = _dot(multimodal, unimodal), _length(multimodal), _length(unimodal)
    cosine = product / max(long_m * long_u, _TINY)
    added = [m + u for m, u in zip(multimodal, unimodal, strict=True)]
    if not config.enabled or cosine >= 0.0:
        return added, cosine
    share = min(1.0, config.orthogonality * abs(cosine))
    first = _without(multimodal, unimodal, share * product / max(long_u**2, _TINY))
    second = _without(unimodal, multimodal, share * product / max(long_m**2, _TINY))
    weight = pareto_weight(first, second)
    found = [weight * m + (1.0 - weight) * u for m, u in zip(first, second, strict=True)]
    stretch = config.amplification * math.hypot(long_m, long_u) / max(_length(found), _TINY)
    return [stretch * part for part in found], cosine


def pareto_weight(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    """w in [0, 1] for which |w first + (1 - w) second| is least (Sener and Koltun 2018, two objectives)."""
    apart = [a - b for a, b in zip(first, second, strict=True)]
    square = _dot(apart, apart)
    return 0.5 if square <= _TINY else min(1.0, max(0.0, -_dot(apart, second) / square))


def _without(given: Sequence[Tensor], other: Sequence[Tensor], factor: float) -> list[Tensor]:
    return [a - factor * b for a, b in zip(given, other, strict=True)]


def _dot(first: Sequence[Tensor], second: Sequence[Tensor]) -> float:
    products = [(a.float() * b.float()).sum() for a, b in zip(first, second, strict=True)]
    return float(torch.stack(products).sum()) if products else 0.0


def _length(given: Sequence[Tensor]) -> float:
    return math.sqrt(_dot(given, given))
