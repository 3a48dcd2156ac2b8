"""References: small frozen JSON data that crosses a task boundary instead of arrays, models or open files.

Each carries digests of what it points to, so that equal refs mean equal content. `iamsb_core.digest.plain` turns a
ref into JSON data and `iamsb_core.configuration.parse` turns it back.
"""

from __future__ import annotations

from dataclasses import dataclass

from iamsb_core.digest import digest, digest_each
from iamsb_core.manifest import Manifest, VideoShard
from storage.feature_store import FeatureStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRef:
    """A dataset as it was read: the truth and, where they are known, the media's digests."""

    name: str
    root: str
    num_videos: int
    sha256: str
    """digest of the records; the root's own place does not count"""

    @classmethod
    def of(cls, manifest: Manifest) -> ManifestRef:
        """The reference to this manifest."""
        return cls(
            name=manifest.name,
            root=str(manifest.root),
            num_videos=len(manifest.videos),
            sha256=digest_each((manifest.name, *manifest.videos)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCounts:
    """What became of a shard's clips in one stream."""

    ok: int
    absent: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureShardRef:
    """The stored features of one shard of videos in both streams."""

    media_digest: str
    """of the shard's media, as VideoShard.media_digest"""
    audio_identity: str
    visual_identity: str
    audio_packs: tuple[str, ...]
    """digests of the packs that hold the shard's clips; each decides its encoder, clips and their fate"""
    visual_packs: tuple[str, ...]
    audio: StreamCounts
    visual: StreamCounts

    @property
    def digest(self) -> str:
        """Identity of the features."""
        return digest(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """A trained model in the registry or in a folder."""

    uri: str
    """what `evaluate` and `localize` take"""
    run_id: str
    """empty for a plain folder"""
    sha256: str
    """as model_folder.model_sha256"""
    version: str = ""
    """in the registry; empty where it is not registered"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRef:
    """A file of predictions."""

    path: str
    sha256: str
    """of the JSON text, before compression"""
    num_videos: int


def feature_shard_ref(store: FeatureStore, audio: str, visual: str, shard: VideoShard) -> FeatureShardRef:
    """What the store holds of a shard. Raises KeyError where a clip was not extracted."""
    sha256s = sorted({video.media_sha256 for video in shard.videos if video.media_sha256 is not None})
    found = {identity: store.records(identity, sha256s) for identity in (audio, visual)}
    for identity, records in found.items():
        if len(records) < len(sha256s):
            lost = next(sha256 for sha256 in sha256s if sha256 not in records)
            raise KeyError(f"media {lost[:12]} has no features of encoder {identity[:12]} in {store.root}; extract it")
    counts = {identity: _counts([r.status for r in records.values()]) for identity, records in found.items()}
    packs = {i: tuple(pack.digest for pack in store.packs(i, sha256s)) for i in (audio, visual)}
    return FeatureShardRef(
        media_digest=shard.media_digest,
        audio_identity=audio,
        visual_identity=visual,
        audio_packs=packs[audio],
        visual_packs=packs[visual],
        audio=counts[audio],
        visual=counts[visual],
    )


def _counts(statuses: list[str]) -> StreamCounts:
    return StreamCounts(ok=statuses.count("ok"), absent=statuses.count("absent"), failed=statuses.count("failed"))
