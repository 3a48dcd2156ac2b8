"""Lips beside the face: the same visual encoder looks a second time, at the mouth alone.

The mouth lies where it lies in every frontal face: in the lower middle of the square around the face, which OpenCV's
cascade found and which is held steady. Landmark packages whose weights come with them were looked for; those that
exist need TensorFlow, or replace this project's OpenCV with another build. The mouth's features are the stream's
second track, cached and read like any other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from iamsb_core.encoders.base import EncodedTrack, Encoder, EncoderSpec, StreamSpec
from iamsb_core.encoders.frames import checked_frames, frame_view
from iamsb_core.media.clip import DecodedClip

VERSION = 1
_CENTRE_DOWN, _CENTRE_ACROSS, _SIDE = 20 / 28, 14 / 28, 12 / 28
"""in shares of the face crop's side: chin to nose, a little wider than an open mouth"""


class LipsEncoder:
    """A visual encoder applied to the face and to the mouth."""

    def __init__(self, spec: EncoderSpec, encoder: Encoder) -> None:
        """encoder: of the same spec without lips."""
        self._spec, self._encoder, self._view = spec, encoder, frame_view(spec)

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def stream(self) -> StreamSpec:
        face = self._encoder.stream
        return replace(face, encoder_identity=self._spec.identity, fine_dim=face.dim, fine_hop_seconds=face.hop_seconds)

    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        """Face and lips of each clip, one clip at a time. Raises ValueError for a clip without frames of the view."""
        return [self._encode(clip) for clip in clips]

    def _encode(self, clip: DecodedClip) -> EncodedTrack:
        frames = checked_frames(clip, self._view)
        with tempfile.TemporaryFile() as file:  # as large as the frames, which may not fit into memory
            mouths = np.memmap(file, np.uint8, "w+", shape=frames.shape) if frames.size else frames
            for place, frame in enumerate(frames):
                mouths[place] = mouth_crop(frame)
            lips = self._encoder.encode([replace(clip, frames=mouths)])[0].main
        return EncodedTrack(self._encoder.encode([clip])[0].main, lips)


def mouth_crop(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(side, side, 3) of a face crop to the mouth's part of it, at the same size."""
    side = len(face)
    half = round(_SIDE * side / 2)
    down, across = round(_CENTRE_DOWN * side), round(_CENTRE_ACROSS * side)
    part = np.ascontiguousarray(face[down - half : down + half, across - half : across + half])
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.uint8, copy=False)
