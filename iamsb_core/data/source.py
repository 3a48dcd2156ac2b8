"""Where training reads features: a protocol that the feature store meets, and tests too, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from iamsb_core.encoders.base import EncodedTrack, Streams
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.timeline import Segment


@dataclass(frozen=True, slots=True)
class StoredTrack:
    """One clip's features in one stream, whole or a window of it."""

    track: EncodedTrack
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
