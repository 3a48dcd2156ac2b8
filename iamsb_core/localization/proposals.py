"""What a system says of one clip: scored segments of each stream and of both together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.manifest import Modality

Proposals = NDArray[np.float32]
"""(N, 3): start seconds, end seconds, score in [0, 1]; by falling score"""


def sorted_proposals(proposals: NDArray[np.floating]) -> Proposals:
    """By falling score; equal scores keep their order."""
    array = np.asarray(proposals, dtype=np.float32).reshape(-1, 3)
    return array[np.argsort(-array[:, 2], kind="stable")]


@dataclass(frozen=True)
class ClipProposals:
    """One clip's result."""

    video_id: str
    duration_seconds: float
    audio: Proposals
    visual: Proposals
    fused: Proposals
    clip_score: float
    """score in [0, 1] that anything in the clip is forged"""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """JSON data: why, such as budgets and coupling statistics"""

    def of(self, modality: Modality | None) -> Proposals:
        """The list of one stream, or the fused one."""
        if modality is None:
            return self.fused
        return self.audio if modality is Modality.AUDIO else self.visual
