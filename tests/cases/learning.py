"""A few clips learned by heart, and how well they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from iamsb_core.data.batch import Batch
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS
from iamsb_core.systems.base import System
from iamsb_core.systems.segments import pairwise_tiou


def learn(system: System[Any], given: Batch, *, num_steps: int, learning_rate: float) -> list[float]:
    """Train on the same batch again and again, without any noise; the total losses on the way."""
    optimizer = torch.optim.AdamW(system.parameters(), lr=learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=num_steps, pct_start=0.2)
    totals = []
    for _ in range(num_steps):
        losses = system.losses(system(given), given)
        optimizer.zero_grad()
        system.backward(losses)
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        totals.append(losses["total"].item())
    return totals


def lowest_tiou(clips: Sequence[ClipProposals], given: Batch) -> float:
    """Over all truths, the tiou of the best of as many top proposals as the clip has truths in the stream."""
    found = []
    for row, clip in enumerate(clips):
        for modality in STREAMS:
            truth = given.stream(modality).truth[row]
            if len(truth):
                top = torch.from_numpy(clip.of(modality)[: len(truth), :2]) / clip.duration_seconds
                found.append(pairwise_tiou(top, truth).amax(dim=0).min().item())
    return min(found)
