"""The truth that predictions are scored against: of each clip, for the clip as a whole and for each stream."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.manifest import Manifest, Modality, VideoRecord

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
    dataset: str | None = None
    is_whole_clip: bool = False
    """the label is of the clip, not of segments; `fused` of a forged one is the clip, to infinity where its length is
    not known"""

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
        """Truth as the records give it: disjoint segments of each stream, and of either.

        Videos without a label are left out, with a warning; raises ValueError where no video has one.
        """
        known = manifest.labelled().videos
        hidden = len(manifest.videos) - len(known)
        if hidden and not known:
            raise ValueError(
                f"none of the {hidden} clips of {manifest.name} has a label, so there is nothing to score against; "
                "their truth is with the benchmark's organisers: send them the predictions"
            )
        warnings = (f"{hidden} of {len(manifest.videos)} clips have no label; left out",) if hidden else ()
        return cls(tuple(_clip_truth(video, manifest.name) for video in known), warnings)

    @property
    def has_segments(self) -> bool:
        """Whether every clip's truth is segments, so that AP and AR mean something."""
        return not any(clip.is_whole_clip for clip in self.clips)

    @property
    def has_streams(self) -> bool:
        """Whether every clip's truth is known for each stream."""
        return all(clip.audio is not None and clip.visual is not None for clip in self.clips)

    def split(self, name: str) -> Labels:
        """The clips of one split."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.split == name))


def _clip_truth(video: VideoRecord, dataset: str) -> ClipTruth:
    lasting = math.inf if video.duration_seconds is None else video.duration_seconds
    told_apart = video.streams_told_apart or not video.is_forged
    audio, visual = (
        video.truth(modality, duration_seconds=lasting) if told_apart else None
        for modality in (Modality.AUDIO, Modality.VISUAL)
    )
    return ClipTruth(
        video_id=video.video_id,
        fused=video.truth(duration_seconds=lasting),
        audio=audio,
        visual=visual,
        split=video.split,
        duration_seconds=video.duration_seconds,
        generator=video.generator,
        dataset=dataset,
        is_whole_clip=video.label == "clip",
    )
