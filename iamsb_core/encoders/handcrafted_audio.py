"""Handcrafted audio features at 50 Hz, with a compact fine track at 200 Hz: no weights needed.

What is measured is in `voice_measures`: spectral shape, irregularity of the phase, what linear prediction leaves,
energies inside a cell. All of it is taken against its own surroundings in time (`normalisation`); the phase, which no
microphone changes, is kept as it is besides, so that a clip forged from end to end still shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from iamsb_core.encoders.alignment import Chunk, gathered, mirrored
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.normalisation import HALF_WIDTH_SECONDS, standardised
from iamsb_core.encoders.passes import Passes
from iamsb_core.encoders.voice_measures import CELL_SAMPLES, CONTEXT_CELLS, FINE_PER_CELL, MARGIN, VoiceMeasures
from iamsb_core.media.clip import DecodedClip
from iamsb_core.timeline import FeatureTrack, TimeGrid

VERSION = 1
HOP_SECONDS = 0.02
FINE_HOP_SECONDS = HOP_SECONDS / FINE_PER_CELL
_CELLS_PER_PASS = 1500
_FLOOR = 0.03
"""no column is scaled up by more than 1 / this"""
_ABSOLUTE = ("frequency_mean", "delay_mean")


class HandcraftedAudioEncoder:
    """Handcrafted audio features on a device, in float32."""

    def __init__(self, spec: EncoderSpec, device: torch.device, *, cells_per_pass: int = _CELLS_PER_PASS) -> None:
        self._spec, self._device = spec, device
        self._cells = Passes(cells_per_pass, context_rows=CONTEXT_CELLS, beyond=True)
        self._measure = VoiceMeasures(device)
        main, fine = self._features(np.zeros(CELL_SAMPLES, dtype=np.float32), 1)
        self._dim, self._fine_dim = main.shape[1], fine.shape[1]

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def stream(self) -> StreamSpec:
        return StreamSpec(
            encoder_identity=self._spec.identity,
            dim=self._dim,
            hop_seconds=HOP_SECONDS,
            fine_dim=self._fine_dim,
            fine_hop_seconds=FINE_HOP_SECONDS,
        )

    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        """Features of each clip, one clip at a time. Raises ValueError for a clip without a waveform."""
        return [self._encode(clip) for clip in clips]

    def _encode(self, clip: DecodedClip) -> EncodedTrack:
        if clip.waveform is None:
            raise ValueError("the clip has no audio stream; encode audio only where clip.waveform is given")
        grid, fine_grid = (TimeGrid.covering(clip.duration_seconds, hop) for hop in (HOP_SECONDS, FINE_HOP_SECONDS))
        num_cells = max(grid.num_cells, -(-fine_grid.num_cells // FINE_PER_CELL))
        main, fine = self._features(clip.waveform, num_cells)
        return EncodedTrack(
            FeatureTrack(main[: grid.num_cells], grid), FeatureTrack(fine[: fine_grid.num_cells], fine_grid)
        )

    def _features(
        self, waveform: NDArray[np.float32], num_cells: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(num_cells, dim) and (num_cells * FINE_PER_CELL, fine_dim)."""
        return self.against_surroundings(self.measure(waveform, num_cells))

    def against_surroundings(
        self, blocks: Mapping[str, NDArray[np.float32]], mean_squares: Mapping[str, NDArray[np.float64]] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What `measure` gave as features of the main and of the fine track.

        mean_squares: what `standardised` takes, of each block's columns (those of `fine` as rows of the fine track);
        the blocks are the whole clip's if None.
        """
        rows = self.rows(blocks)
        fine = self._relative({"fine": rows.pop("fine")}, mean_squares)
        return np.concatenate([self._relative(rows, mean_squares), *(blocks[name] for name in _ABSOLUTE)], axis=1), fine

    @staticmethod
    def _relative(
        rows: Mapping[str, tuple[NDArray[np.float32], int]], mean_squares: Mapping[str, NDArray[np.float64]] | None
    ) -> NDArray[np.float32]:
        """All columns of one track at once."""
        values = np.concatenate([block for block, _ in rows.values()], axis=1)
        half_width = max(width for _, width in rows.values())
        overall = None if mean_squares is None else np.concatenate([mean_squares[name] for name in rows])
        return standardised(values, half_width, _FLOOR, overall)

    @staticmethod
    def rows(blocks: Mapping[str, NDArray[np.float32]]) -> dict[str, tuple[NDArray[np.float32], int]]:
        """Each block by the rows of its own track, and how many rows on either side surround one."""
        half_width = round(HALF_WIDTH_SECONDS / HOP_SECONDS)
        found = {name: (block, half_width) for name, block in blocks.items() if name != "fine"}
        fine = blocks["fine"]
        return {**found, "fine": (fine.reshape(len(fine) * FINE_PER_CELL, -1), half_width * FINE_PER_CELL)}

    def measure(self, waveform: NDArray[np.float32], num_cells: int) -> dict[str, NDArray[np.float32]]:
        """Samples to named blocks (num_cells, columns), before they are taken against their surroundings."""
        return gathered(num_cells, self._passes(waveform, num_cells))

    @torch.inference_mode()
    def _passes(
        self, waveform: NDArray[np.float32], num_cells: int
    ) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        def measured(chunk: Chunk) -> dict[str, NDArray[np.float32]]:
            start, stop = chunk.read.start * CELL_SAMPLES - MARGIN, chunk.read.stop * CELL_SAMPLES + MARGIN
            samples = torch.from_numpy(mirrored(waveform, start, stop)).to(self._device)
            blocks = self._measure(samples)
            return {name: block[chunk.inside].cpu().numpy() for name, block in blocks.items()}

        for chunk, blocks in self._cells.over(num_cells, measured):
            yield chunk.keep, blocks
