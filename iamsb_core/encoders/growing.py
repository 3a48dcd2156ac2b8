"""Features of a clip that is still growing: what comes is measured once, and kept as long as a window may need it.

With the handcrafted encoders a cell is measured as soon as the few cells after it are there, and taken against its
surroundings when a window is asked for. Other encoders see runs of cells with six seconds on either side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from iamsb_core.encoders import face_measures, voice_measures
from iamsb_core.encoders.base import EncodedTrack, Encoder
from iamsb_core.encoders.handcrafted_audio import HandcraftedAudioEncoder
from iamsb_core.encoders.handcrafted_video import HandcraftedVideoEncoder
from iamsb_core.encoders.normalisation import HALF_WIDTH_SECONDS, centred
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, MediaProbe
from iamsb_core.timeline import FeatureTrack, TimeGrid

Blocks = dict[str, NDArray[np.float32]]

_CONTEXT_SECONDS = 6.0
_NO_PROBE = MediaProbe(
    sha256="",
    size_bytes=0,
    duration_seconds=0.0,
    container="",
    num_video_streams=0,
    num_audio_streams=0,
    video_codec=None,
    width=0,
    height=0,
    rotation_degrees=0,
    num_video_frames=0,
    average_fps=0.0,
    variable_frame_rate=False,
    video_start_seconds=0.0,
    audio_codec=None,
    sample_rate_hz=0,
    num_channels=0,
    audio_start_seconds=0.0,
)


class GrowingTrack(ABC):
    """One stream's features. Cells are those of the encoder's main track, from the beginning of the clip."""

    surroundings_seconds: float = 0.0
    """how far beyond a window the features inside it still depend on what lies there"""

    def __init__(self, hop_seconds: float, per_cell: int, reach: int, at_least: int = 1) -> None:
        """per_cell: raw rows of a cell; reach: cells around one that it is measured with; at_least: cells at a time."""
        self.hop_seconds = hop_seconds
        self._per_cell, self._reach, self._at_least = per_cell, reach, at_least
        self._raw: list[NDArray[np.generic]] = []
        self._raw_first = 0
        self._num_raw = 0
        self._blocks: Blocks = {}
        self._first = 0
        self.num_cells = 0
        """measured so far"""
        self.is_over = False

    @property
    def ready_seconds(self) -> float:
        """How far the cells are measured."""
        return self.num_cells * self.hop_seconds

    def push(self, raw: NDArray[np.generic]) -> None:
        """Samples at 16 kHz, or pictures, that follow on the ones before."""
        if len(raw):
            self._raw.append(raw)
            self._num_raw += len(raw)
        last = self._raw_first + self._num_raw // self._per_cell - self._reach
        if last - self.num_cells >= self._at_least:
            self._measure_up_to(last)

    def finish(self, num_cells: int) -> None:
        """Nothing more comes: measure up to the clip's end."""
        self.is_over = True
        if num_cells > self.num_cells and self._num_raw:
            self._measure_up_to(num_cells)
        elif num_cells < self.num_cells:
            self._blocks = {name: rows[: num_cells - self._first] for name, rows in self._blocks.items()}
            self.num_cells = num_cells

    def forget(self, before: int) -> None:
        """Drop the rows of cells before this one; no later window may need them."""
        first = max(self._first, min(before, self.num_cells))
        self._blocks = {name: rows[first - self._first :].copy() for name, rows in self._blocks.items()}
        self._first = first

    @property
    def num_kept(self) -> int:
        """Cells that are held in memory."""
        return self.num_cells - self._first

    def track(self, cells: slice) -> EncodedTrack:
        """The features of some cells, as a track that starts at t = 0, from what is known now."""
        context = round(self.surroundings_seconds / self.hop_seconds)
        first = max(self._first, cells.start - context)
        known = slice(first - self._first, cells.stop + context - self._first)
        main, fine = self._features({name: rows[known] for name, rows in self._blocks.items()})
        inside = slice(cells.start - first, cells.stop - first)
        per_cell = 0 if fine is None else len(fine) // max(1, len(main))
        return EncodedTrack(
            self._on_grid(main[inside], 1),
            None if fine is None else self._on_grid(fine[inside.start * per_cell : inside.stop * per_cell], per_cell),
        )

    @abstractmethod
    def _measure(self, raw: NDArray[np.generic], num_cells: int) -> Blocks: ...

    @abstractmethod
    def _features(self, blocks: Blocks) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]: ...

    def _measured(self) -> None:  # noqa: B027 - not every encoder keeps count
        """Cells were added."""

    def _on_grid(self, values: NDArray[np.floating], per_cell: int) -> FeatureTrack:
        """In the store's precision."""
        return FeatureTrack(values.astype(np.float16), TimeGrid(self.hop_seconds / per_cell, len(values)))

    def _measure_up_to(self, last: int) -> None:
        raw = np.concatenate(self._raw)
        blocks = self._measure(raw, last - self._raw_first if self.is_over else len(raw) // self._per_cell)
        new = slice(self.num_cells - self._raw_first, last - self._raw_first)
        for name, rows in blocks.items():
            held = self._blocks.get(name)
            self._blocks[name] = rows[new] if held is None else np.concatenate([held, rows[new]])
        self.num_cells = last
        keep_from = max(self._raw_first, last - self._reach)
        raw = raw[(keep_from - self._raw_first) * self._per_cell :].copy()
        self._raw, self._raw_first, self._num_raw = [raw], keep_from, len(raw)
        self._measured()


class _HandcraftedSound(GrowingTrack):
    surroundings_seconds = 2 * HALF_WIDTH_SECONDS
    """a cell's deviation is taken over cells whose own mean is taken as far again"""

    def __init__(self, encoder: HandcraftedAudioEncoder) -> None:
        reach = voice_measures.CONTEXT_CELLS + -(-voice_measures.MARGIN // voice_measures.CELL_SAMPLES)
        super().__init__(encoder.stream.hop_seconds, voice_measures.CELL_SAMPLES, reach)
        self._encoder = encoder
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._num_summed = 0

    def _measure(self, raw: NDArray[np.generic], num_cells: int) -> Blocks:
        return self._encoder.measure(np.asarray(raw, dtype=np.float32), num_cells)

    def _measured(self) -> None:
        """Add the squares of cells whose surroundings are complete: the clip's spread as far as it is known."""
        half_cells = round(HALF_WIDTH_SECONDS / self.hop_seconds)
        last = self.num_cells if self.is_over else self.num_cells - half_cells
        if last <= self._num_summed:
            return
        first = max(self._first, self._num_summed - half_cells)
        part = {name: rows[first - self._first :] for name, rows in self._blocks.items()}
        for name, (rows, half_width) in self._encoder.rows(part).items():
            per_cell = half_width // half_cells
            inside = slice((self._num_summed - first) * per_cell, (last - first) * per_cell)
            squares = np.square(centred(rows, half_width)[inside]).sum(axis=0, dtype=np.float64)
            self._sums[name] = self._sums.get(name, 0.0) + squares / per_cell
        self._num_summed = last

    def _features(self, blocks: Blocks) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        means = {name: total / self._num_summed for name, total in self._sums.items()} or None
        return self._encoder.against_surroundings(blocks, means)


class _HandcraftedPicture(GrowingTrack):
    surroundings_seconds = HALF_WIDTH_SECONDS

    def __init__(self, encoder: HandcraftedVideoEncoder) -> None:
        super().__init__(encoder.stream.hop_seconds, 1, face_measures.CONTEXT_FRAMES)
        self._encoder = encoder

    def _measure(self, raw: NDArray[np.generic], num_cells: int) -> Blocks:
        return self._encoder.measure(np.asarray(raw, dtype=np.uint8)[:num_cells])

    def _features(self, blocks: Blocks) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        return self._encoder.against_surroundings(blocks), None


class _Encoded(GrowingTrack):
    """Any encoder, on runs of cells with context: what the whole clip would change beyond that is not seen."""

    def __init__(self, encoder: Encoder) -> None:
        hop_seconds, view = encoder.stream.hop_seconds, encoder.spec.view
        context = round(_CONTEXT_SECONDS / hop_seconds)
        per_cell = 1 if view is not None else round(hop_seconds * SAMPLE_RATE_HZ)
        super().__init__(hop_seconds, per_cell, context, at_least=context)
        self._encoder, self._view = encoder, view

    def _measure(self, raw: NDArray[np.generic], num_cells: int) -> Blocks:
        seconds = num_cells * self.hop_seconds
        clip = DecodedClip(
            probe=_NO_PROBE,
            duration_seconds=seconds,
            waveform=None,
            frames=None,
            frame_boxes=None,
            face_found=None,
            frame_grid=None,
            reader="pyav",
        )
        if self._view is None:
            clip = replace(clip, waveform=np.asarray(raw, np.float32)[: num_cells * self._per_cell])
        else:
            clip = replace(
                clip, frames=np.asarray(raw, np.uint8)[:num_cells], frame_grid=TimeGrid(self.hop_seconds, num_cells)
            )
        found = self._encoder.encode([clip])[0]
        fine: Mapping[str, NDArray[np.float32]] = {}
        if found.fine is not None:
            fine = {"fine": found.fine.values.reshape(num_cells, -1)}
        return {"main": np.asarray(found.main.values, np.float32), **fine}

    def _features(self, blocks: Blocks) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        fine = blocks.get("fine")
        dim = self._encoder.stream.fine_dim
        return blocks["main"], None if fine is None else fine.reshape(-1, dim)


def growing_track(encoder: Encoder) -> GrowingTrack:
    """What feeds this encoder a clip as it grows."""
    if isinstance(encoder, HandcraftedAudioEncoder):
        return _HandcraftedSound(encoder)
    if isinstance(encoder, HandcraftedVideoEncoder):
        return _HandcraftedPicture(encoder)
    return _Encoded(encoder)
