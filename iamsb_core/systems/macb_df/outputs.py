"""What the forward pass leaves for the losses, the gradients and the proposals.

Shapes: B clips, L cells, M = 2 streams, C = 2 clusters (genuine, forged).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FrameAnswers:
    """What one head says of every cell and of the clip."""

    logits: Tensor
    """(B, L)"""
    valid: Tensor
    """(B, L)"""
    hop_seconds: float
    clip_logit: Tensor
    """(B,)"""

    @property
    def present(self) -> Tensor:
        return self.valid.any(dim=1)


@dataclass(frozen=True)
class MacbOutputs:
    """Each stream's own head, and the fused one on the picture's grid."""

    audio: FrameAnswers
    visual: FrameAnswers
    fused: FrameAnswers
    embeddings: Tensor
    """(B, M, e), of unit length"""
    present: Tensor
    """(B, M)"""
    distances: Tensor
    """(B, M, C) to the clusters' centres"""
    weights: Tensor
    """(B, M) fusion weights"""

    @property
    def streams(self) -> tuple[FrameAnswers, FrameAnswers]:
        return self.audio, self.visual
