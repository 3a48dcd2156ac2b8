"""The truth that predictions are scored against: of each clip, for the clip as a whole and for each stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.manifest import Manifest, Modality

Segments = NDArray[np.float64]
"""(K, 2) seconds"""


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """What is true of one clip. A stream is None where the labels do not tell streams apart."""

    video_id: str
    fused: Segments
    audio: Segments | None = None
    visual: Segments | None = None
    split: str | None = None
    duration_seconds: float | None = None
    generator: str | None = None

    @property
    def is_forged(self) -> bool:
        return len(self.fused) > 0

    def of(self, modality: Modality | None) -> Segments:
        """The truth of one stream, or of the clip; raises ValueError where streams are not told apart."""
        if modality is None:
            return self.fused
        found = self.audio if modality is Modality.AUDIO else self.visual
        if found is None:
            raise ValueError(f"the labels of {self.video_id} do not say which stream was forged; score it fused only")
        return found


@dataclass(frozen=True, slots=True)
class Labels:
    """The clips to score, in the order of their file."""

    clips: tuple[ClipTruth, ...]
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> Labels:
        """Truth as the records give it: disjoint segments of each stream, and of either."""
        return cls(
            tuple(
                ClipTruth(
                    video_id=video.video_id,
                    fused=video.truth(),
                    audio=video.truth(Modality.AUDIO),
                    visual=video.truth(Modality.VISUAL),
                    split=video.split,
                    duration_seconds=video.duration_seconds,
                    generator=video.generator,
                )
                for video in manifest.videos
            )
        )

    @property
    def has_streams(self) -> bool:
        """Whether every clip's truth is known for each stream."""
        return all(clip.audio is not None and clip.visual is not None for clip in self.clips)

    def split(self, name: str) -> Labels:
        """The clips of one split."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.split == name))
