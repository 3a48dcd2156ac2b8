"""One training or evaluation item: a clip, or a window of it, with both streams and their truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.rows import LocatedTrack
from iamsb_core.data.source import FeatureSource, locating
from iamsb_core.encoders.base import EncodedTrack
from iamsb_core.manifest import STREAMS, Modality, VideoRecord
from iamsb_core.timeline import Segment

_SHORTEST_VISIBLE_SECONDS = 0.04
"""of a segment that a window's edge cuts: less than one video frame is not evidence"""

TrackT = TypeVar("TrackT", EncodedTrack, LocatedTrack)


@dataclass(frozen=True)
class ItemOf(Generic[TrackT]):
    """One clip or window: what becomes a row of a batch."""

    video_id: str
    duration_seconds: float
    tracks: dict[Modality, TrackT | None]
    truth: dict[Modality, NDArray[np.float64]]
    """(K, 2) seconds from the item's start; none in a stream that the item does not have"""


Item = ItemOf[EncodedTrack]
"""with its features at hand"""
LocatedItem = ItemOf[LocatedTrack]
"""whose features are read when they are written into a batch"""


def visible_truth(truth: NDArray[np.float64], window: Segment) -> NDArray[np.float64]:
    """The parts of true segments, (N, 2) seconds, that a window shows, in seconds from the window's start."""
    clipped = np.clip(truth, window.start, window.end) - window.start
    return clipped[clipped[:, 1] - clipped[:, 0] >= _SHORTEST_VISIBLE_SECONDS]


def read_item(source: FeatureSource, video: VideoRecord, window: Segment | None = None) -> Item:
    """The whole clip, or one window of it. Raises KeyError where the clip was never extracted.

    A stream that ends before the window begins is one that the item does not have.
    """
    stored = {modality: source.read(video, modality, window) for modality in STREAMS}
    whole = _whole(video, [found.duration_seconds for found in stored.values() if found is not None])
    shown = whole if window is None else window
    tracks = {modality: None if found is None else _with_cells(found.track) for modality, found in stored.items()}
    return _item(video.video_id, tracks, _truth(video, shown), shown)


class ClipDataset:
    """The videos of one split as items; longer clips than `window_seconds` give one window each.

    A window's place is drawn from the generator that the caller passes, so an epoch is a function of its seed.
    """

    def __init__(self, source: FeatureSource, videos: Sequence[VideoRecord], *, window_seconds: float) -> None:
        self.source = source
        self.videos = tuple(videos)
        self.window_seconds = window_seconds
        self._located = locating(source)

    def __len__(self) -> int:
        return len(self.videos)

    def item(self, index: int, rng: np.random.Generator) -> LocatedItem:
        """The clip, or a window of it at a random place that starts on a video frame; no features are read yet."""
        video = self.videos[index]
        found = {modality: self._located.locate(video, modality) for modality in STREAMS}
        shown = _whole(video, [clip.duration_seconds for clip in found.values() if clip is not None])
        tracks = {modality: None if clip is None else _with_cells(clip.track) for modality, clip in found.items()}
        whole = _item(video.video_id, tracks, _truth(video, shown), shown)
        if whole.duration_seconds <= self.window_seconds:
            return whole
        hop_seconds = self.source.streams.visual.hop_seconds
        last_cell = int((whole.duration_seconds - self.window_seconds) / hop_seconds)
        start = float(rng.integers(last_cell + 1)) * hop_seconds
        return window_of(whole, Segment(start, start + self.window_seconds))

    def expect(self, indices: Sequence[int]) -> None:
        """A hint that these items are wanted soon."""
        self._located.expect([self.videos[index] for index in indices])


def window_of(item: ItemOf[TrackT], window: Segment) -> ItemOf[TrackT]:
    """A window of an item that is at hand; without a stream that ends before the window begins."""
    return _item(
        item.video_id, {modality: _cut(track, window) for modality, track in item.tracks.items()}, item.truth, window
    )


def _whole(video: VideoRecord, durations: Sequence[float]) -> Segment:
    """All of a clip whose streams last so long."""
    if not durations:
        raise ValueError(f"{video.video_id} has neither sound nor picture in the feature store")
    return Segment(0.0, max(durations))


def _truth(video: VideoRecord, shown: Segment) -> dict[Modality, NDArray[np.float64]]:
    return {modality: video.truth(modality, duration_seconds=shown.end) for modality in STREAMS}


def _item(
    video_id: str,
    tracks: dict[Modality, TrackT | None],
    truth: Mapping[Modality, NDArray[np.float64]],
    shown: Segment,
) -> ItemOf[TrackT]:
    """With the visible truth, (K, 2) seconds of the clip, of the streams that are there."""
    visible = {
        modality: np.zeros((0, 2)) if track is None else visible_truth(truth[modality], shown)
        for modality, track in tracks.items()
    }
    return ItemOf(video_id, shown.duration_seconds, tracks, visible)


def _cut(track: TrackT | None, window: Segment) -> TrackT | None:
    return None if track is None else _with_cells(track.window(window))


def _with_cells(track: TrackT) -> TrackT | None:
    """None for a track without a cell: nothing can be said of it, nor learned from it."""
    return track if track.main.grid.num_cells else None
