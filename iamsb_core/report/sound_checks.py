"""What is unusual about a waveform: silence, clipping, a band that ends early. Waveforms are mono at 16 kHz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.clip import SAMPLE_RATE_HZ

Waveform = NDArray[np.float32]

SILENT_AMPLITUDE = 10 ** (-60 / 20)
_BLOCK_SECONDS = 0.02
_CLIPPED_AMPLITUDE = 0.995
_WINDOW = 512
_MOST_WINDOWS = 4000
_FAINTEST_DECIBELS = -60.0


def silent_share(waveform: Waveform) -> float:
    """Share of 20 ms blocks whose peak stays below -60 dBFS; 1.0 for a waveform without samples."""
    length = round(_BLOCK_SECONDS * SAMPLE_RATE_HZ)
    if not len(waveform):
        return 1.0
    peaks = np.maximum.reduceat(np.abs(waveform), np.arange(0, len(waveform), length))
    return float(np.mean(peaks < SILENT_AMPLITUDE))


def clipped_share(waveform: Waveform) -> float:
    """Share of samples that stand at the end of the scale, at 0.995 or beyond."""
    return float(np.mean(np.abs(waveform) >= _CLIPPED_AMPLITUDE)) if len(waveform) else 0.0


def bandwidth_hz(waveform: Waveform) -> float | None:
    """The highest frequency whose mean power lies within 60 dB of the strongest one's; None for silence.

    From up to 4000 Hann windows of 32 ms spread over the waveform. Speech recorded at 16 kHz or more reaches 8000 Hz
    that way; what came over a telephone, or was sampled at 8 kHz, ends near 4000 Hz.
    """
    if len(waveform) < _WINDOW:
        return None
    starts = np.unique(np.linspace(0, len(waveform) - _WINDOW, _MOST_WINDOWS).astype(int))
    power = np.zeros(_WINDOW // 2 + 1)
    for some in np.array_split(starts, max(1, len(starts) // 500)):
        pieces = waveform[some[:, None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
        power += np.square(np.abs(np.fft.rfft(pieces, axis=1))).sum(axis=0)
    mean_peak = power.max() / len(starts)
    if mean_peak < (SILENT_AMPLITUDE * _WINDOW / 4) ** 2:
        return None
    decibels = 10.0 * np.log10(np.maximum(power / power.max(), 1e-20))
    highest = int(np.flatnonzero(decibels >= _FAINTEST_DECIBELS)[-1])
    return float(highest * SAMPLE_RATE_HZ / _WINDOW)
