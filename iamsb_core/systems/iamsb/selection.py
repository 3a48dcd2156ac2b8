"""Which queries are refined: N^m of them, by the coupling's row mass, sampled without replacement in training.

Shapes: B clips, N queries, M the largest number selected in any clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iamsb_core.processes import batch_most
from iamsb_core.systems.noise import Noise


@dataclass(frozen=True)
class Selection:
    """The queries of one stream that go on; at least one place is kept, existing or not."""

    index: Tensor
    """(B, M) into the stream's queries, by falling priority"""
    exists: Tensor
    """(B, M) bool: a clip's first N^m"""


def select(priority: Tensor, num_queries: Sequence[int], noise: Noise) -> Selection:
    """The top N^m of each clip by priority (B, N), positive; with noise, Gumbel top-n: a weighted sample."""
    keys = priority.clamp_min(1e-12).log() + noise.gumbel(tuple(priority.shape), priority)
    width = batch_most(max(1, *num_queries))
    index = keys.topk(width, dim=1).indices
    counts = torch.tensor(list(num_queries), device=priority.device)
    return Selection(index, torch.arange(width, device=priority.device) < counts[:, None])
