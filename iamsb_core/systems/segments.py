"""Segments as tensors: (..., 2) starts and ends, in shares of the clip's duration. All in float32.

Shapes: N proposals, K true segments.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-7


def clamp_through(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Clamp whose gradient is that of the identity, so that what overshoots can come back."""
    with torch.no_grad():
        moved = x.clamp(min=low).clamp(max=high) - x
    return x + moved


def proper(segments: Tensor, min_length: Tensor | float) -> Tensor:
    """Inside [0, 1] and at least min_length (which broadcasts to (...)) long."""
    half = 0.5 * min_length
    start, end = segments.unbind(dim=-1)
    centre = clamp_through(0.5 * (start + end), half, 1.0 - half)
    reach = clamp_through(0.5 * (end - start), half, 1.0)
    return clamp_through(torch.stack([centre - reach, centre + reach], dim=-1), 0.0, 1.0)


def pairwise_tiou(first: Tensor, second: Tensor) -> Tensor:
    """(..., N, 2) and (..., K, 2) -> (..., N, K)."""
    first, second = first[..., :, None, :], second[..., None, :, :]
    return _tiou(first, second)[0]


def tiou(first: Tensor, second: Tensor) -> Tensor:
    """(..., 2) and (..., 2) -> (...)."""
    return _tiou(first, second)[0]


def eiou(first: Tensor, second: Tensor) -> Tensor:
    """1-D EIoU: tiou - (centre distance / hull)^2 - (length difference / hull)^2."""
    overlap, hull = _tiou(first, second)
    centres = 0.5 * (first.sum(dim=-1) - second.sum(dim=-1))
    lengths = (first[..., 1] - first[..., 0]) - (second[..., 1] - second[..., 0])
    return overlap - (centres / hull).square() - (lengths / hull).square()


def _tiou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    start, end = torch.maximum(first[..., 0], second[..., 0]), torch.minimum(first[..., 1], second[..., 1])
    overlap = (end - start).clamp_min(0.0)
    hull = torch.maximum(first[..., 1], second[..., 1]) - torch.minimum(first[..., 0], second[..., 0])
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    return overlap / (lengths - overlap).clamp_min(_TINY), hull.clamp_min(_TINY)


def padded_truth(truth: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """B tensors (K_b, 2) -> (B, K, 2) and which of them exist (B, K) bool; K is at least 1."""
    num = max([1, *(len(segments) for segments in truth)])
    padded = torch.zeros(len(truth), num, 2)
    exists = torch.zeros(len(truth), num, dtype=torch.bool)
    for row, segments in enumerate(truth):
        padded[row, : len(segments)] = segments.detach().float().cpu()
        exists[row, : len(segments)] = True
    return padded.to(device), exists.to(device)
