"""Pitch shift by a phase vocoder: all frequencies times a ratio, the sound as long as before and where it was."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from iamsb_core.media.resampling import Resampler

Samples = NDArray[np.float32]

_WINDOW_SAMPLES = 1024
"""64 ms at 16 kHz: several periods of a deep voice"""
_HOP_SAMPLES = 256
_WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW_SAMPLES) / _WINDOW_SAMPLES)).astype(np.float32)
_OVERLAP_GAIN = np.float32(1.5)
"""what squared Hann windows at a quarter of their length add up to"""
_LEAD_FRAMES = 2
"""whose centre lies before the sound and whose window reaches into it"""
_FRAMES_PER_PASS = 512
_ONSET_SHARE = 0.01
"""of a frame's energy; where less was there a hop before, the frame is an onset"""
_MAX_DENOMINATOR = 64
"""of the ratio: a fifth of a hundredth of a semitone off at most, and a short resampling filter"""


def shift_pitch(waveform: Samples, *, semitones: float) -> Iterator[Samples]:
    """The (num_samples,) sound in pieces, about num_samples in all; what was heard at t is heard at t.

    Stretched by the ratio at its old pitch by a phase vocoder, then resampled back to its length.
    """
    ratio = Fraction(2 ** (semitones / 12)).limit_denominator(_MAX_DENOMINATOR)
    resampler = Resampler(ratio.numerator, ratio.denominator)
    for piece in _stretched(waveform, float(ratio)):
        yield from resampler.push(piece)
    yield resampler.finish()


def _stretched(waveform: Samples, ratio: float) -> Iterator[Samples]:
    """The sound `ratio` times as long: frames a hop apart, taken from places a hop over the ratio apart.

    A frame's phases go on from the last one's by as much as they turn in the hop before its place: measured over the
    very hop that it is needed for, so that none is guessed.
    """
    last = int(np.ceil((len(waveform) * ratio + _WINDOW_SAMPLES) / _HOP_SAMPLES))
    phases = np.zeros(_WINDOW_SAMPLES // 2 + 1, dtype=np.float32)
    tail = np.zeros(_WINDOW_SAMPLES - _HOP_SAMPLES, dtype=np.float32)
    skip = _LEAD_FRAMES * _HOP_SAMPLES + _WINDOW_SAMPLES // 2
    for first in range(-_LEAD_FRAMES, last + 1, _FRAMES_PER_PASS):
        centres = np.arange(first, min(first + _FRAMES_PER_PASS, last + 1)) * _HOP_SAMPLES
        places = np.rint(centres / ratio).astype(np.int64)
        spectra, before = _spectra(waveform, places), _spectra(waveform, places - _HOP_SAMPLES)
        turned = np.empty(spectra.shape, dtype=np.float32)
        for frame, (spectrum, earlier) in enumerate(zip(spectra, before, strict=True)):
            turned[frame] = phases = _next_phases(phases, spectrum, earlier)
        sound = _overlapped(np.abs(spectra) * np.exp(1j * turned))
        sound[: len(tail)] += tail
        done = len(places) * _HOP_SAMPLES
        tail = sound[done:]
        yield sound[skip:done]
        skip = max(0, skip - done)


def _next_phases(
    phases: NDArray[np.float32], spectrum: NDArray[np.complex64], earlier: NDArray[np.complex64]
) -> NDArray[np.float32]:
    """(bins,) phases of the next frame: a peak's go on, the bins around it keep their place beside it.

    This identity phase locking (Laroche and Dolson 1999, III.B) keeps a partial in one piece; the phases start afresh
    where the sound does.
    """
    magnitude = np.abs(spectrum)
    if float(np.square(np.abs(earlier)).sum()) <= _ONSET_SHARE * float(np.square(magnitude).sum()):
        return np.angle(spectrum)
    peaks = 1 + np.flatnonzero((magnitude[1:-1] >= magnitude[:-2]) & (magnitude[1:-1] > magnitude[2:]))
    if not len(peaks):
        return np.angle(spectrum)
    turn = np.exp(1j * phases[peaks]) * earlier[peaks].conj()
    rotated = np.repeat(turn, np.diff([0, *((peaks[1:] + peaks[:-1] + 1) // 2), len(spectrum)]))
    locked: NDArray[np.float32] = np.angle(spectrum * rotated)
    return locked


def _spectra(waveform: Samples, places: NDArray[np.int64]) -> NDArray[np.complex64]:
    """(num_places, bins): the windowed sound around each place, silence beyond its ends."""
    start, stop = int(places[0]) - _WINDOW_SAMPLES // 2, int(places[-1]) + _WINDOW_SAMPLES // 2
    inside = waveform[max(start, 0) : max(stop, 0)]
    ahead = min(max(-start, 0), stop - start)
    samples = np.pad(inside, (ahead, stop - start - ahead - len(inside)))
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW_SAMPLES)[places - places[0]]
    spectra: NDArray[np.complex64] = scipy.fft.rfft(windows * _WINDOW, axis=1)
    return spectra


def _overlapped(spectra: NDArray[np.complex64]) -> Samples:
    """The frames added up a hop apart: ((num_frames - 1) * hop + window,) samples."""
    frames = scipy.fft.irfft(spectra, _WINDOW_SAMPLES, axis=1).astype(np.float32) * (_WINDOW / _OVERLAP_GAIN)
    parts = frames.reshape(len(frames), -1, _HOP_SAMPLES)
    sound = np.zeros((len(frames) + parts.shape[1] - 1, _HOP_SAMPLES), dtype=np.float32)
    for part in range(parts.shape[1]):
        sound[part : part + len(frames)] += parts[:, part]
    return sound.reshape(-1)
