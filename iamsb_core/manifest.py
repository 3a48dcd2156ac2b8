"""What a dataset is: typed records of videos with their truth, and the shards that tasks work on."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iamsb_core.digest import digest
from iamsb_core.timeline import Segment, merge_segments

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
StreamName = Literal["audio", "visual"]
Label = Literal["segments", "clip", "none"]
"""what a benchmark says of a video: when it was forged, only whether it was, or nothing (a hidden test set)"""


class Modality(enum.Flag):
    """A stream of a video, or both."""

    AUDIO = enum.auto()
    VISUAL = enum.auto()


NO_STREAM = Modality(0)
STREAMS: tuple[Modality, Modality] = (Modality.AUDIO, Modality.VISUAL)


def stream_name(modality: Modality) -> str:
    """The one name of a stream in files, metrics and reports: `audio` or `visual`."""
    return {Modality.AUDIO: "audio", Modality.VISUAL: "visual"}[modality]


@dataclass(frozen=True, slots=True)
class Forgery:
    """A forged stretch of a video and the stream (or streams) it was forged in."""

    segment: Segment
    modality: Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRecord:
    """One video of a dataset with its truth."""

    video_id: str
    """unique in the manifest; the path that the benchmark's own files use, such as `test/000472.mp4`"""
    path: Path
    """relative to the manifest's root"""
    split: Split
    duration_seconds: float | None
    """as the benchmark states it; None where only decoding tells"""
    forgeries: tuple[Forgery, ...] = ()
    identity: str | None = None
    """the person shown, where known"""
    original: str | None = None
    """video_id of the genuine video this one was made from, where known"""
    generator: str | None = None
    """how it was forged, where known"""
    media_sha256: str | None = None
    """digest of the file's bytes, filled in when the media is first read"""
    label: Label = "segments"
    """`segments`: `forgeries` is all there is; `clip`: `forged_streams` is; `none`: nothing is known"""
    forged_streams: Modality = NO_STREAM
    """label `clip`: the streams that were forged from end to end; none for a genuine clip"""
    streams_told_apart: bool = True
    """label `clip`: False where at least one of `forged_streams` was forged and nobody says which"""

    def __post_init__(self) -> None:
        if (self.forged_streams and self.label != "clip") or (self.forgeries and self.label != "segments"):
            raise ValueError(
                f"{self.video_id}: forgeries go with label 'segments', forged_streams with label 'clip', and neither "
                f"with 'none'; got {len(self.forgeries)} forgeries and {self.forged_streams} with {self.label!r}"
            )

    def truth(self, modality: Modality | None = None, *, duration_seconds: float | None = None) -> NDArray[np.float64]:
        """Disjoint forged segments, (N, 2) seconds: of one stream, or of either where modality is None.

        A clip that is labelled as a whole gives itself, [0, duration), and none where it is genuine; its duration is
        duration_seconds (as decoded) where that is given, else the stated one. Without a label there is none: ask
        `is_labelled` before none is taken for genuine. Raises ValueError where a forged clip's duration is not known,
        or where its label does not say in which stream it was forged.
        """
        wanted = Modality.AUDIO | Modality.VISUAL if modality is None else modality
        if self.label == "clip":
            return self._whole_clip(wanted, self.duration_seconds if duration_seconds is None else duration_seconds)
        found = [(f.segment.start, f.segment.end) for f in self.forgeries if f.modality & wanted]
        return merge_segments(np.asarray(found, dtype=np.float64).reshape(-1, 2))

    def _whole_clip(self, wanted: Modality, duration_seconds: float | None) -> NDArray[np.float64]:
        if not self.forged_streams & wanted:
            return np.empty((0, 2))
        if not self.streams_told_apart and self.forged_streams & ~wanted:
            raise ValueError(
                f"{self.video_id} is labelled forged, but not in which stream; score it as a whole, "
                "or state the stream in a manifest of your own (dataset 'generic')"
            )
        if duration_seconds is None:
            raise ValueError(
                f"{self.video_id} is forged as a whole, and how long it lasts is not known; probe the file"
            )
        return np.array([[0.0, duration_seconds]])

    def without_truth(self) -> VideoRecord:
        """The same video as one of which nothing is known: what predicting may see of it."""
        return replace(self, forgeries=(), label="none", forged_streams=NO_STREAM)

    @property
    def is_forged(self) -> bool:
        """Whether its label says so; False where nothing is known (`is_labelled`)."""
        return bool(self.forgeries) or bool(self.forged_streams)

    @property
    def is_labelled(self) -> bool:
        """Whether anything is known of it."""
        return self.label != "none"


@dataclass(frozen=True, slots=True)
class VideoShard:
    """The videos that one task works on, with absolute root."""

    root: Path
    videos: tuple[VideoRecord, ...]

    @property
    def media_digest(self) -> str:
        """Identity of the shard's media bytes. Raises ValueError where a digest is not known yet."""
        unknown = [video.video_id for video in self.videos if video.media_sha256 is None]
        if unknown:
            raise ValueError(f"{len(unknown)} videos have no media digest yet, such as {unknown[0]}; fingerprint them")
        return digest(sorted({video.media_sha256 for video in self.videos if video.media_sha256}))


@dataclass(frozen=True, slots=True)
class Manifest:
    """A named list of videos under one root folder."""

    name: str
    root: Path
    videos: tuple[VideoRecord, ...]
    repairs: tuple[str, ...] = ()
    """what the reader found wrong in the benchmark's own files and mended, in words"""

    def __post_init__(self) -> None:
        if len({video.video_id for video in self.videos}) != len(self.videos):
            seen: set[str] = set()
            twice = next(v.video_id for v in self.videos if v.video_id in seen or seen.add(v.video_id))  # type: ignore[func-returns-value]
            raise ValueError(f"manifest {self.name!r} lists {twice!r} twice; every video_id must be unique")

    def split(self, name: Split) -> Manifest:
        """The videos of one split."""
        return replace(self, videos=tuple(video for video in self.videos if video.split == name))

    def labelled(self) -> Manifest:
        """The videos of which something is known."""
        return replace(self, videos=tuple(video for video in self.videos if video.is_labelled))

    def with_durations(self, durations_seconds: Mapping[str, float]) -> Manifest:
        """With durations, by video_id, as decoded, where the benchmark states none."""
        return replace(self, videos=tuple(_lasting(video, durations_seconds) for video in self.videos))

    def shards(self, num_videos: int) -> Iterator[VideoShard]:
        """The videos in runs of num_videos, in manifest order."""
        for first in range(0, len(self.videos), num_videos):
            yield VideoShard(self.root, self.videos[first : first + num_videos])


def _lasting(video: VideoRecord, durations_seconds: Mapping[str, float]) -> VideoRecord:
    found = durations_seconds.get(video.video_id)
    return video if found is None or video.duration_seconds is not None else replace(video, duration_seconds=found)
