"""Handcrafted features of face crops at the view's frame rate: no weights needed.

Per region of the face (mouth, upper face, the ring around the mouth, border, all): what high-pass filters and the block
DCT leave, how it agrees from picture to picture, motion, colour (`face_measures`). All of it is taken against its own
surroundings in time (`normalisation`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from iamsb_core.encoders.alignment import Chunk, gathered, reflected
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.face_measures import CONTEXT_FRAMES, FaceMeasures
from iamsb_core.encoders.frames import checked_frames, frame_view
from iamsb_core.encoders.normalisation import HALF_WIDTH_SECONDS, centred
from iamsb_core.encoders.passes import Passes
from iamsb_core.encoders.regions import NUM_BLOCKS
from iamsb_core.media.clip import DecodedClip
from iamsb_core.timeline import FeatureTrack, TimeGrid

VERSION = 2
_FRAMES_PER_PASS = 100
_SIDE_MULTIPLE = 8 * NUM_BLOCKS // 2
"""blocks at half and quarter size, and 8 x 8 transforms, must come out whole"""


class HandcraftedVideoEncoder:
    """Handcrafted video features on a device, in float32."""

    def __init__(self, spec: EncoderSpec, device: torch.device, *, frames_per_pass: int = _FRAMES_PER_PASS) -> None:
        self._spec, self._device, self._view = spec, device, frame_view(spec)
        side = self._view.size_pixels
        if side % _SIDE_MULTIPLE:
            raise ValueError(
                f"pictures of {side} pixels cannot be cut into blocks; take a multiple of {_SIDE_MULTIPLE}"
            )
        self._frames = Passes(frames_per_pass, context_rows=CONTEXT_FRAMES, beyond=True)
        self._measure = FaceMeasures(device)
        self._dim = self._features(np.zeros((1, side, side, 3), dtype=np.uint8)).shape[1]

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def stream(self) -> StreamSpec:
        return StreamSpec(encoder_identity=self._spec.identity, dim=self._dim, hop_seconds=1.0 / self._view.rate_hz)

    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        """Features of each clip, one clip at a time. Raises ValueError for a clip without frames of the view."""
        return [self._encode(clip) for clip in clips]

    def _encode(self, clip: DecodedClip) -> EncodedTrack:
        values = self._features(checked_frames(clip, self._view))
        grid = TimeGrid.covering(clip.duration_seconds, 1.0 / self._view.rate_hz)
        return EncodedTrack(FeatureTrack(values, grid))

    def _features(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(F, side, side, 3) to (F, dim)."""
        return self.against_surroundings(self.measure(frames))

    def against_surroundings(self, blocks: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """What `measure` gave as features, (F, dim)."""
        half_width = round(HALF_WIDTH_SECONDS * self._view.rate_hz)
        return np.concatenate([centred(block, half_width) for block in blocks.values()], axis=1)

    def measure(self, frames: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """(F, side, side, 3) to named blocks (F, columns), before they are taken against their surroundings."""
        return gathered(len(frames), self._passes(frames))

    @torch.inference_mode()
    def _passes(self, frames: NDArray[np.uint8]) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        def measured(chunk: Chunk) -> dict[str, NDArray[np.float32]]:
            rows = reflected(chunk.read.start, chunk.read.stop, len(frames))
            blocks = self._measure(torch.from_numpy(frames[rows]).to(self._device))
            return {name: block[chunk.inside].cpu().numpy() for name, block in blocks.items()}

        for chunk, blocks in self._frames.over(len(frames), measured):
            yield chunk.keep, blocks
