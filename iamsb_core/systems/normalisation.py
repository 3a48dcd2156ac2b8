"""Feature standardisation: buffers of the training set, so that a checkpoint is complete.

Shapes: B clips, L cells, D feature dim.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.manifest import Modality

_CLIP_DEVIATIONS = 8.0
"""standardised features are bounded: one broken cell must not drown its neighbours"""


class Standardise(nn.Module):
    """(x - mean) / std with buffers of the training set, bounded."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D), zero where not valid."""
        scaled = torch.addcmul(-self.mean / self.std, values, 1.0 / self.std)
        return scaled.clamp_(-_CLIP_DEVIATIONS, _CLIP_DEVIATIONS).mul_(valid[..., None])


class Moments:
    """Sums over the valid cells of a pass, in float64; `finish` writes them into the buffers."""

    def __init__(self, target: Standardise) -> None:
        self.target, self.count = target, 0
        self.total = torch.zeros(len(target.mean), dtype=torch.float64)
        self.squares = torch.zeros_like(self.total)

    def add(self, values: Tensor, valid: Tensor) -> None:
        cells = values[valid].double().cpu()
        self.total += cells.sum(dim=0)
        self.squares += cells.square().sum(dim=0)
        self.count += len(cells)

    def finish(self) -> None:
        """A dim that never moves gets deviation 1; a stream without a single cell keeps its buffers."""
        if self.count == 0:
            return
        mean = self.total / self.count
        std = (self.squares / self.count - mean.square()).clamp_min(0.0).sqrt()
        self.target.mean.copy_(mean)
        self.target.std.copy_(torch.where(std > 1e-6, std, 1.0))


@dataclass(frozen=True)
class StandardisedTrack:
    """Which track of which stream a standardisation is of."""

    modality: Modality
    fine: bool
    standardise: Standardise


@torch.no_grad()
def fit_standardisation(tracks: Sequence[StandardisedTrack], batches: Iterable[Batch]) -> None:
    """One pass over the batches sets every track's mean and deviation."""
    moments = [Moments(track.standardise) for track in tracks]
    for batch in batches:
        for track, moment in zip(tracks, moments, strict=True):
            moment.add(*_values_of(batch.stream(track.modality), fine=track.fine))
    for moment in moments:
        moment.finish()


def _values_of(stream: StreamBatch, *, fine: bool) -> tuple[Tensor, Tensor]:
    """Values (B, L, D) and valid (B, L). Raises ValueError where a fine track is wanted and missing."""
    if not fine:
        return stream.values, stream.valid
    if stream.fine_values is None or stream.fine_valid is None:
        raise ValueError(
            "this system reads a fine track, and the batch has none; extract it with the encoder's fine track"
        )
    return stream.fine_values, stream.fine_valid
