"""Which query answers for which truth: one to one, by SciPy's Hungarian algorithm.

Shapes: B clips, N queries, K true segments of a clip (padded).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from iamsb_core.systems.iamsb.config import LossConfig
from iamsb_core.systems.iamsb.state import QueryState
from iamsb_core.systems.segments import pairwise_tiou

UNMATCHED = -1


@torch.no_grad()
def match(state: QueryState, queries: Tensor, truth: Tensor, truth_exists: Tensor, config: LossConfig) -> Tensor:
    """(B, N) long: the truth that each query answers for, or UNMATCHED.

    queries (B, N) bool, truth (B, K, 2), truth_exists (B, K). The cost is class + L1 + tiou, weighted by the config;
    a clip with fewer queries than truths leaves truths unanswered.
    """
    segments, logits = state.segments, state.logits
    distance = (segments[:, :, None] - truth[:, None]).abs().sum(dim=-1)
    cost = (
        config.l1_cost * distance
        - config.class_cost * logits.sigmoid()[..., None]
        - config.tiou_cost * pairwise_tiou(segments, truth)
    )
    assigned = np.full(logits.shape, UNMATCHED, dtype=np.int64)
    costs, exists, counted = (x.cpu().numpy() for x in (cost.float(), truth_exists, queries))
    for row in range(len(costs)):
        (places,) = np.nonzero(counted[row])
        (truths,) = np.nonzero(exists[row])
        if len(places) and len(truths):
            chosen, answered = _cheapest(costs[row][np.ix_(places, truths)])
            assigned[row, places[chosen]] = truths[answered]
    return torch.from_numpy(assigned).to(logits.device)


def _cheapest(cost: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The optimal assignment; with one truth it is a minimum, which is most clips."""
    if cost.shape[1] == 1:
        return cost.argmin(axis=0), np.zeros(1, dtype=np.int64)
    rows, columns = linear_sum_assignment(cost)
    return rows, columns
