"""A batch: padded features of both streams with their validity, clocks and truth.

Shapes: B clips, L cells, D feature dim, K true segments of a clip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iamsb_core.manifest import Modality


@dataclass(frozen=True)
class StreamBatch:
    """One stream of a batch."""

    values: Tensor
    """(B, L, D) float; zero where not valid"""
    valid: Tensor
    """(B, L) bool; a row of all False means that the clip has no such stream"""
    hop_seconds: float
    truth: tuple[Tensor, ...]
    """B tensors (K, 2): disjoint forged segments, start and end as shares of the clip's duration, in [0, 1]"""
    fine_values: Tensor | None = None
    """(B, L_fine, D_fine) where the stream has a fine track"""
    fine_valid: Tensor | None = None
    fine_hop_seconds: float = 0.0

    def to(self, device: torch.device) -> StreamBatch:
        moved = {
            name: value.to(device, non_blocking=True)
            for name in ("values", "valid", "fine_values", "fine_valid")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved, truth=tuple(segments.to(device) for segments in self.truth))

    @property
    def present(self) -> Tensor:
        """(B,) bool: whether the clip has this stream at all."""
        return self.valid.any(dim=1)

    @property
    def forged(self) -> Tensor:
        """(B,) bool: whether any truth lies in this stream."""
        return torch.tensor([len(segments) > 0 for segments in self.truth], device=self.values.device)


@dataclass(frozen=True)
class Batch:
    """Clips (or windows of clips) of both streams, padded to the longest."""

    audio: StreamBatch
    visual: StreamBatch
    duration_seconds: Tensor
    """(B,) float: what the shares of every segment refer to"""
    video_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.video_ids)

    def stream(self, modality: Modality) -> StreamBatch:
        return self.audio if modality is Modality.AUDIO else self.visual

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            audio=self.audio.to(device),
            visual=self.visual.to(device),
            duration_seconds=self.duration_seconds.to(device),
        )
