"""Where training reads features: a protocol that the feature store meets, and tests too, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from iamsb_core.data.rows import LocatedTrack, TrackRows
from iamsb_core.encoders.base import EncodedTrack, Streams
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.timeline import Segment


@dataclass(frozen=True, slots=True)
class StoredTrack:
    """One clip's features in one stream, whole or a window of it."""

    track: EncodedTrack
    duration_seconds: float
    """of the whole clip, as decoded"""


@dataclass(frozen=True, slots=True)
class LocatedClip:
    """One clip's features in one stream, not read yet."""

    track: LocatedTrack
    duration_seconds: float
    """of the whole clip, as decoded"""


class FeatureSource(Protocol):
    """Random access to the features of both streams."""

    @property
    def streams(self) -> Streams: ...

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        """The clip's features, or those of the cells whose centre lies in the window; None: it has no such stream.

        Raises KeyError where the clip was never extracted.
        """
        ...


@runtime_checkable
class LocatingSource(FeatureSource, Protocol):
    """A source that can say where features are before it reads them, so that they are copied once, into their batch."""

    def locate(self, video: VideoRecord, modality: Modality) -> LocatedClip | None:
        """The whole clip's features; None, and raises, as `read` does. Writing their rows may raise the same."""
        ...

    def expect(self, videos: Sequence[VideoRecord]) -> None:
        """A hint that all of these are read soon, so that the disk can begin; no error where one is not there."""
        ...


def locating(source: FeatureSource) -> LocatingSource:
    """The source itself where it can locate, else one that reads whole clips when they are located."""
    return source if isinstance(source, LocatingSource) else _ReadAtOnce(source)


class _ReadAtOnce:
    """A LocatingSource over one that only reads."""

    def __init__(self, source: FeatureSource) -> None:
        self._source = source

    @property
    def streams(self) -> Streams:
        return self._source.streams

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        return self._source.read(video, modality, window)

    def locate(self, video: VideoRecord, modality: Modality) -> LocatedClip | None:
        return in_memory(self._source.read(video, modality))

    def expect(self, videos: Sequence[VideoRecord]) -> None:
        """Nothing: what only reads has nothing to begin with."""


def in_memory(stored: StoredTrack | None) -> LocatedClip | None:
    """What was read, as something located."""
    if stored is None:
        return None
    return LocatedClip(located(stored.track), stored.duration_seconds)


def located(track: EncodedTrack) -> LocatedTrack:
    """A track in memory as something located."""
    return LocatedTrack(TrackRows(track.main), None if track.fine is None else TrackRows(track.fine))
