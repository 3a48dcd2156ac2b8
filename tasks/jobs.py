"""What crosses a task's border: small frozen records that carry digests, never arrays, models or open files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from iamsb_core.digest import digest
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.manifest import Manifest, VideoShard
from storage.keys import FORMAT
from storage.objects import Place
from storage.pack_writer import StoreDtype
from storage.refs import FeatureShardRef

_NUM_SHARDS_WANTED = 8
"""so that a small dataset still runs in parallel and loses little when it is stopped"""


@dataclass(frozen=True, kw_only=True)
class BadVideo:
    """A video that cannot be used, and why."""

    video_id: str
    path: str
    kind: str
    reason: str
    stream: str = ""
    """audio or visual, where only that one is bad"""


@dataclass(frozen=True)
class Stock:
    """A dataset as it lies on the disk: every video has its media digest but those whose bytes cannot be read."""

    manifest: Manifest
    bad: tuple[BadVideo, ...]
    """the unreadable ones"""


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """The extraction of one shard of videos."""

    shard: VideoShard
    audio: EncoderSpec
    visual: EncoderSpec
    store: Place
    device: str = "cpu"
    stored_as: StoreDtype = "float16"
    retry_failed: bool = False

    @property
    def digest(self) -> str:
        """Identity of the features: the media's bytes, the encoders (with what is done to the clips before them) and
        the store's format; no path, no device."""
        return digest([self.shard.media_digest, self.audio.identity, self.visual.identity, FORMAT])

    @property
    def sha256s(self) -> list[str]:
        return [video.media_sha256 for video in self.shard.videos if video.media_sha256 is not None]


@dataclass(frozen=True, kw_only=True)
class ShardResult:
    """What became of a shard."""

    features: FeatureShardRef
    num_decoded: int
    """videos that the store lacked"""
    seconds: float
    num_quarantined: int = 0
    """of these, what cannot be used"""
    media_seconds: float = 0.0
    """of these, as long as they play"""


def shard_jobs(stock: Stock, shard_size: int, pattern: ShardJob) -> Iterator[ShardJob]:
    """The videos of a stock, each media once, in shards of `shard_size`, or fewer for a small dataset.

    Everything but the shard is as in the pattern.
    """
    known = [video for video in stock.manifest.videos if video.media_sha256 is not None]
    unique = tuple({video.media_sha256: video for video in known}.values())
    size = max(1, min(shard_size, math.ceil(len(unique) / _NUM_SHARDS_WANTED)))
    for first in range(0, len(unique), size):
        yield replace(pattern, shard=VideoShard(stock.manifest.root, unique[first : first + size]))
