"""The sound of a file on the clip's clock: mono, 16 kHz, as long as the clip to the sample, gaps silent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodeError
from iamsb_core.media.container import Damage, first_audio, open_media, read_frames
from iamsb_core.media.resampling import Resampler, Samples, resample

_GAP_SECONDS = 0.02
"""differences below half a cell are rounding or drift of the file's clock, not holes"""
_SILENT_PEAK = 1e-3
_MAX_SILENCE_SAMPLES = 1 << 20
_MAX_PLANES = 8
"""PyAV reads beyond the frame's own list of planes and crashes; interleaved there is only one"""
_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}


class Sound:
    """Reads a file's first audio stream, once, from its first packet to its last."""

    def __init__(self, path: Path, *, origin_seconds: float, num_samples: int) -> None:
        """The sound of [origin_seconds, origin_seconds + num_samples / 16000) on the container's clock."""
        self._path = path
        self._origin_seconds = origin_seconds
        self._num_samples = num_samples
        self._damage = Damage()
        self._peak = 0.0
        self._line: SoundLine | None = None

    def pieces(self) -> Iterator[Samples]:
        """The waveform in order: float32 in [-1, 1], num_samples in all. Raises DecodeError `damaged`."""
        remaining = self._num_samples
        for piece in self._resampled():
            piece = np.clip(np.nan_to_num(piece[:remaining]), -1.0, 1.0)  # noqa: PLW2901
            self._peak = max(self._peak, float(np.abs(piece).max(initial=0.0)))
            remaining -= len(piece)
            yield piece
            if remaining == 0:
                return
        while remaining > 0:
            piece = np.zeros(min(remaining, _MAX_SILENCE_SAMPLES), dtype=np.float32)
            remaining -= len(piece)
            yield piece

    def warnings(self) -> list[str]:
        """What was found, once all pieces are read."""
        warnings = []
        if self._peak < _SILENT_PEAK:
            warnings.append("the sound is silent from beginning to end")
        if self._line is not None and self._line.num_gaps:
            gaps = f"{self._line.num_gaps} gaps, {self._line.gap_seconds:.2f} s in all"
            warnings.append(f"the sound has {gaps}, filled with silence")
        if self._damage.num_packets:
            warnings.append(f"{self._damage.num_packets} packets of the sound are damaged and were left out")
        return warnings

    def _resampled(self) -> Iterator[Samples]:
        with open_media(self._path) as container:
            stream = first_audio(container)
            frames = read_frames(container, stream, self._damage) if stream is not None else iter(())
            first = next(frames, None)
            if first is None:
                raise DecodeError(f"no sound could be decoded from {self._path}; export it again", kind="damaged")
            resampler = Resampler(first.sample_rate, SAMPLE_RATE_HZ)
            for samples in self._placed(first, frames):
                yield from resampler.push(samples)
            yield resampler.finish()

    def _placed(self, first: AudioFrame, following: Iterator[AudioFrame]) -> Iterator[Samples]:
        """Samples at the stream's rate, without holes or overlaps, the first one at the origin."""
        line = self._line = SoundLine(first.sample_rate, self._origin_seconds)
        end = round(self._num_samples / SAMPLE_RATE_HZ * first.sample_rate) + first.sample_rate
        for frame in itertools.chain([first], following):
            yield from line.lay(frame, end)
            if line.position >= end:
                return


class SoundLine:
    """Lays the frames of a stream one after another, without holes or overlaps, the first one at the origin."""

    def __init__(self, rate_hz: int, origin_seconds: float) -> None:
        self.rate_hz = rate_hz
        self._origin_seconds = origin_seconds
        self._is_begun = False
        self.position = 0
        """samples laid so far, at rate_hz"""
        self.num_gaps = 0
        self.gap_seconds = 0.0

    def lay(self, frame: AudioFrame, end: int | None = None) -> Iterator[Samples]:
        """The frame's samples with the silence that its time asks for before them, up to the sample `end`."""
        samples = _mono(frame, self.rate_hz)
        missing = self._missing(frame)
        yield from self.fill(self.position + (missing if end is None else min(missing, end - self.position)))
        samples = samples[max(0, -missing) :]
        self.position += len(samples)
        yield samples

    def fill(self, position: int) -> Iterator[Samples]:
        """Silence up to this position."""
        for silence in _silence(position - self.position):
            self.position += len(silence)
            yield silence

    def _missing(self, frame: AudioFrame) -> int:
        """How many samples of silence the frame's time asks for before it; negative: how many to drop."""
        is_first, self._is_begun = not self._is_begun, True
        if frame.time is None:
            return 0
        missing = round((frame.time - self._origin_seconds) * self.rate_hz) - self.position
        if is_first:
            return missing
        if abs(missing) <= _GAP_SECONDS * self.rate_hz:
            return 0
        if missing > 0:
            self.num_gaps += 1
            self.gap_seconds += missing / self.rate_hz
        return missing


def _silence(num_samples: int) -> Iterator[Samples]:
    for begin in range(0, num_samples, _MAX_SILENCE_SAMPLES):
        yield np.zeros(min(_MAX_SILENCE_SAMPLES, num_samples - begin), dtype=np.float32)


def _mono(frame: AudioFrame, rate_hz: int) -> Samples:
    """The mean of a frame's channels, (num_samples,) in [-1, 1], at rate_hz."""
    is_wide = frame.format.is_planar and len(frame.layout.channels) > _MAX_PLANES
    if is_wide or frame.format.name.removesuffix("p") not in _FULL_SCALE:  # such as 64-bit integers
        (frame,) = AudioResampler(format="flt").resample(frame)
    coded = frame.to_ndarray()
    name = frame.format.name.removesuffix("p")
    channels = coded if frame.format.is_planar else coded.reshape(-1, len(frame.layout.channels)).T
    offset = 128.0 if name == "u8" else 0.0
    mono = (channels.mean(axis=0, dtype=np.float64) - offset) / _FULL_SCALE[name]
    if frame.sample_rate == rate_hz:
        return np.asarray(mono, dtype=np.float32)
    return resample(np.asarray(mono, dtype=np.float32), frame.sample_rate, rate_hz)
