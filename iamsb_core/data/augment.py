"""Feature-level augmentation against memorising people: hide, weaken or drop, never invent.

Truth stays as it is: what is hidden in one place is still forged, and a dropped stream says nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from iamsb_core.data.dataset import Item
from iamsb_core.encoders.base import EncodedTrack
from iamsb_core.manifest import STREAMS
from iamsb_core.timeline import FeatureTrack


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


def augment(item: Item, config: AugmentConfig, rng: np.random.Generator) -> Item:
    """A varied copy of the item."""
    tracks = {modality: _varied(item.tracks[modality], config, rng) for modality in STREAMS}
    both = all(track is not None for track in tracks.values())
    truth = dict(item.truth)
    if both and rng.random() < config.drop_stream_share:
        dropped = STREAMS[int(rng.integers(2))]
        tracks[dropped] = None
        truth[dropped] = np.zeros((0, 2))
    return replace(item, tracks=tracks, truth=truth)


def _varied(track: EncodedTrack | None, config: AugmentConfig, rng: np.random.Generator) -> EncodedTrack | None:
    if track is None:
        return None
    fine = None if track.fine is None else _shifted(track.fine, config, rng)
    return EncodedTrack(_shifted(track.main, config, rng), fine)


def _shifted(track: FeatureTrack, config: AugmentConfig, rng: np.random.Generator) -> FeatureTrack:
    values = track.values.astype(np.float32)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    gain = np.exp(config.gain_scale * rng.standard_normal(track.dim)).astype(np.float32)
    offset = (config.offset_scale * rng.standard_normal(track.dim)).astype(np.float32) * spread
    return FeatureTrack((values - mean) * gain + mean + offset, track.grid)
