"""Feature-level augmentation against memorising people: hide, weaken or drop, never invent.

Truth stays as it is: what is hidden in one place is still forged, and a dropped stream says nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.dataset import LocatedItem
from iamsb_core.data.rows import LocatedTrack, Rows
from iamsb_core.manifest import STREAMS
from iamsb_core.timeline import Segment, TimeGrid


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How strongly training items are varied; every share 0 means not at all."""

    drop_stream_share: float = 0.05
    """of items that lose one stream, so that a video without sound or picture is nothing new"""
    offset_scale: float = 0.3
    """standard deviation of a constant added to every dimension of a clip, in units of the clip's own spread:
    a person, a microphone or a camera is mostly such a constant"""
    gain_scale: float = 0.1
    """standard deviation of the logarithm of a factor on every dimension's deviation from its mean"""


def augment(item: LocatedItem, config: AugmentConfig, rng: np.random.Generator) -> LocatedItem:
    """A varied copy of the item: what it is varied by is drawn now, its features are varied once they are read."""
    tracks = {modality: _varied(item.tracks[modality], config, rng) for modality in STREAMS}
    both = all(track is not None for track in tracks.values())
    truth = dict(item.truth)
    if both and rng.random() < config.drop_stream_share:
        dropped = STREAMS[int(rng.integers(2))]
        tracks[dropped] = None
        truth[dropped] = np.zeros((0, 2))
    return replace(item, tracks=tracks, truth=truth)


def _varied(track: LocatedTrack | None, config: AugmentConfig, rng: np.random.Generator) -> LocatedTrack | None:
    if track is None:
        return None
    fine = None if track.fine is None else _shifted(track.fine, config, rng)
    return LocatedTrack(_shifted(track.main, config, rng), fine)


def _shifted(rows: Rows, config: AugmentConfig, rng: np.random.Generator) -> ShiftedRows:
    gain = np.exp(config.gain_scale * rng.standard_normal(rows.dim)).astype(np.float32)
    offset = (config.offset_scale * rng.standard_normal(rows.dim)).astype(np.float32)
    return ShiftedRows(rows, gain, offset)


@dataclass(frozen=True, slots=True, eq=False)
class ShiftedRows:
    """Rows whose deviations from their mean are multiplied by a gain, and moved by an offset of so many spreads."""

    rows: Rows
    gain: NDArray[np.float32]
    """(dim,)"""
    offset: NDArray[np.float32]
    """(dim,)"""

    @property
    def grid(self) -> TimeGrid:
        return self.rows.grid

    @property
    def dim(self) -> int:
        return self.rows.dim

    def window(self, segment: Segment) -> ShiftedRows:
        """The window by the same gain and offset, about its own mean and spread."""
        return replace(self, rows=self.rows.window(segment))

    def write(self, out: NDArray[np.float32]) -> None:
        """In place, in out's own memory: (values - mean) * gain + mean + offset * spread."""
        self.rows.write(out)
        mean = out.mean(axis=0)
        out -= mean
        spread = np.sqrt(np.square(out).mean(axis=0))
        out *= self.gain
        out += mean
        out += self.offset * spread
