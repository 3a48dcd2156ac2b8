"""Features held in memory up to a byte budget, so that a small dataset is read from disk once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from iamsb_core.data.source import FeatureSource, LocatedClip, StoredTrack, in_memory, locating
from iamsb_core.encoders.base import Streams
from iamsb_core.manifest import STREAMS, Modality, VideoRecord
from iamsb_core.timeline import Segment


class CachedFeatures:
    """A LocatingSource before another source: keeps whole clips until `max_bytes` are held, then passes through."""

    def __init__(self, source: FeatureSource, *, max_bytes: int = 2 << 30) -> None:
        self._source = locating(source)
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
            if window is not None or self._is_full:
                return self._source.read(video, modality, window)
            self._hold(key, self._source.read(video, modality))
        held = self._held[key]
        return held if held is None or window is None else replace(held, track=held.track.window(window))

    def locate(self, video: VideoRecord, modality: Modality) -> LocatedClip | None:
        """As the protocol says; a clip for which there is room is read and held."""
        if self._is_full and (video.video_id, modality) not in self._held:
            return self._source.locate(video, modality)
        return in_memory(self.read(video, modality))

    def expect(self, videos: Sequence[VideoRecord]) -> None:
        """As the protocol says, of those that are not held."""
        self._source.expect(
            [video for video in videos if any((video.video_id, modality) not in self._held for modality in STREAMS)]
        )

    @property
    def _is_full(self) -> bool:
        return self._num_bytes >= self._max_bytes

    def _hold(self, key: tuple[str, Modality], stored: StoredTrack | None) -> None:
        if stored is not None:
            fine = stored.track.fine
            self._num_bytes += stored.track.main.values.nbytes + (0 if fine is None else fine.values.nbytes)
        self._held[key] = stored
