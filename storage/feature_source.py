"""The stored features of a pair of encoders, as training reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from iamsb_core.data.source import LocatedClip, StoredTrack
from iamsb_core.encoders.base import EncoderSpec, Streams, StreamSpec
from iamsb_core.manifest import STREAMS, Modality, StreamName, VideoRecord, stream_name
from iamsb_core.timeline import Segment
from storage.feature_store import FeatureStore


class StoredFeatures:
    """A LocatingSource over a feature store: what `iamsb_core.data.source` describes.

    The specs must be resolved (`iamsb_core.encoders.load.resolve_spec`), since their identity finds the features.
    hidden: names of streams that are held back, as if no clip had them.
    """

    def __init__(
        self, store: FeatureStore, audio: EncoderSpec, visual: EncoderSpec, *, hidden: Collection[StreamName] = ()
    ) -> None:
        if audio.modality is not Modality.AUDIO or visual.modality is not Modality.VISUAL:
            raise ValueError(f"wanted an audio and a visual encoder in that order, got {audio.name} and {visual.name}")
        self.store = store
        self._hidden = frozenset(hidden)
        self._specs = {Modality.AUDIO: audio, Modality.VISUAL: visual}
        self._identities = {modality: spec.identity for modality, spec in self._specs.items()}
        self._streams: Streams | None = None

    @property
    def streams(self) -> Streams:
        """As the packs state them. Raises ValueError where one encoder has no features in the store."""
        if self._streams is None:
            self._streams = Streams(audio=self._stream(Modality.AUDIO), visual=self._stream(Modality.VISUAL))
        return self._streams

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        """As the protocol says. Raises ValueError too, where the clip's extraction failed."""
        if stream_name(modality) in self._hidden:
            return None
        return self.store.read(self._identities[modality], _sha256(video), window)

    def locate(self, video: VideoRecord, modality: Modality) -> LocatedClip | None:
        """As the protocol says. Raises as `read` does."""
        if stream_name(modality) in self._hidden:
            return None
        return self.store.locate(self._identities[modality], _sha256(video))

    def expect(self, videos: Sequence[VideoRecord]) -> None:
        """As the protocol says; for object storage it does nothing."""
        known = [video.media_sha256 for video in videos if video.media_sha256 is not None]
        for modality, identity in self._identities.items():
            if stream_name(modality) not in self._hidden:
                self.store.expect(identity, known)

    def unusable(self, videos: Iterable[VideoRecord]) -> dict[str, str]:
        """Why each video that cannot be read, or has neither stream, cannot be used; by video_id, others left out."""
        videos = list(videos)
        known = [video.media_sha256 for video in videos if video.media_sha256 is not None]
        tables = {modality: self.store.records(identity, known) for modality, identity in self._identities.items()}
        reasons = {}
        for video in videos:
            problems = []
            num_absent = 0
            for modality in STREAMS:
                if stream_name(modality) in self._hidden:
                    num_absent += 1
                    continue
                record = tables[modality].get(video.media_sha256 or "")
                if record is None:
                    problems.append(f"{stream_name(modality)}: not extracted")
                elif record.status == "failed":
                    problems.append(f"{stream_name(modality)}: {record.kind}: {record.reason}")
                num_absent += record is not None and record.status == "absent"
            if num_absent == len(STREAMS):
                problems.append("neither sound nor picture")
            if problems:
                reasons[video.video_id] = "; ".join(problems)
        return reasons

    def _stream(self, modality: Modality) -> StreamSpec:
        spec = self._specs[modality]
        packs = self.store.packs(spec.identity)
        if not packs:
            raise ValueError(
                f"no {stream_name(modality)} features of encoder {spec.name} ({spec.identity[:12]}) in "
                f"{self.store.root}; run the extraction with this encoder, or name the one that was used"
            )
        return packs[0].stream


def _sha256(video: VideoRecord) -> str:
    if video.media_sha256 is None:
        raise ValueError(f"{video.video_id} has no media digest; fingerprint the manifest (storage.media_index) first")
    return video.media_sha256
