"""Features held in memory up to a byte budget, so that a small dataset is read from disk once."""

from __future__ import annotations

from iamsb_core.data.source import FeatureSource, StoredTrack
from iamsb_core.encoders.base import EncodedTrack, Streams
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.timeline import Segment


class CachedFeatures:
    """A FeatureSource in front of another: keeps whole clips until `max_bytes` are held, then passes through."""

    def __init__(self, source: FeatureSource, *, max_bytes: int = 2 << 30) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._held: dict[tuple[str, Modality], StoredTrack | None] = {}

    @property
    def streams(self) -> Streams:
        return self._source.streams

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        """As the protocol says; windows are cut from a held clip where there is one."""
        key = (video.video_id, modality)
        if key not in self._held:
            if window is not None or self._num_bytes >= self._max_bytes:
                return self._source.read(video, modality, window)
            self._hold(key, self._source.read(video, modality))
        held = self._held[key]
        return held if held is None or window is None else _window(held, window)

    def _hold(self, key: tuple[str, Modality], stored: StoredTrack | None) -> None:
        if stored is not None:
            fine = stored.track.fine
            self._num_bytes += stored.track.main.values.nbytes + (0 if fine is None else fine.values.nbytes)
        self._held[key] = stored


def _window(stored: StoredTrack, window: Segment) -> StoredTrack:
    fine = stored.track.fine
    track = EncodedTrack(stored.track.main.window(window), None if fine is None else fine.window(window))
    return StoredTrack(track, stored.duration_seconds)
