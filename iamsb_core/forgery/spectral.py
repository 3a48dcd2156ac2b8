"""The signal processing of audio forgeries, in NumPy: the same bytes whatever the number of threads.

All signals are (n,) float at 16 kHz; spectra are (num_frames, 257) complex, Hann window of 512 samples, hop 128.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample

Signal = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

_NUM_FFT = 512
_HOP = 128
_WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_NUM_FFT) / _NUM_FFT)
_SAMPLE_RATE_HZ = 16_000
_NUM_LIFTER = 30
"""cepstral coefficients of the envelope: below the pitch period of a voice under 500 Hz"""
_MAX_LOG_GAIN = 2.3
"""20 dB"""


def stft(signal: Signal) -> Spectrum:
    """(1 + n // 128, 257); the signal is reflected at its ends, so n must exceed 256 samples."""
    padded = np.pad(signal, _NUM_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, _NUM_FFT)[::_HOP]
    return np.asarray(np.fft.rfft(frames * _WINDOW, axis=1))


def istft(spectrum: Spectrum, num_samples: int) -> Signal:
    """The least-squares inverse of `stft` (Griffin and Lim 1984, equation 6)."""
    frames = np.fft.irfft(spectrum, _NUM_FFT, axis=1) * _WINDOW
    length = (len(frames) - 1) * _HOP + _NUM_FFT
    signal, weight = np.zeros(length), np.zeros(length)
    for quarter in range(_NUM_FFT // _HOP):  # frames quarter, quarter + 4, ... do not overlap one another
        chosen = frames[quarter :: _NUM_FFT // _HOP]
        span = slice(quarter * _HOP, quarter * _HOP + chosen.size)
        signal[span] += chosen.reshape(-1)
        weight[span] += np.tile(_WINDOW**2, len(chosen))
    trimmed = slice(_NUM_FFT // 2, _NUM_FFT // 2 + num_samples)
    out = signal[trimmed] / np.maximum(weight[trimmed], 1e-6)
    return np.pad(out, (0, num_samples - len(out)))


def stretch(signal: Signal, num_samples: int) -> Signal:
    """The signal made to last num_samples at the same pitch, by a phase vocoder (Flanagan and Golden 1966).

    It is reflected past its end first: where only the rim of one window reached, the inverse would divide by nothing.
    """
    factor = num_samples / len(signal)
    spectrum = stft(np.pad(signal, (0, _NUM_FFT), mode="reflect"))
    positions = np.arange(0, (len(spectrum) - 1) * factor + 1) / factor
    positions = positions[positions <= len(spectrum) - 1]
    before = positions.astype(np.int64)
    after = np.minimum(before + 1, len(spectrum) - 1)
    share = (positions - before)[:, None]
    magnitude = (1 - share) * np.abs(spectrum[before]) + share * np.abs(spectrum[after])
    expected = 2 * np.pi * _HOP * np.arange(spectrum.shape[1]) / _NUM_FFT
    turn = np.angle(spectrum[after]) - np.angle(spectrum[before]) - expected
    turn = expected + turn - 2 * np.pi * np.round(turn / (2 * np.pi))
    phase = np.angle(spectrum[0]) + np.concatenate([np.zeros((1, spectrum.shape[1])), np.cumsum(turn[:-1], axis=0)])
    return istft(magnitude * np.exp(1j * phase), num_samples)


def shift_pitch(signal: Signal, ratio: float) -> Signal:
    """All frequencies times ratio at the same length: stretched, then resampled back."""
    stretched = stretch(signal, round(len(signal) * ratio))
    return np.asarray(resample(stretched, len(signal)), dtype=np.float64)


def shift_formants(signal: Signal, ratio: float) -> Signal:
    """The spectral envelope's frequencies times ratio; the pitch stays."""
    spectrum = stft(signal)
    log_magnitude = np.log(np.abs(spectrum) + 1e-6)
    cepstrum = np.fft.irfft(log_magnitude, axis=1)
    cepstrum[:, _NUM_LIFTER : _NUM_FFT - _NUM_LIFTER + 1] = 0.0
    envelope = np.fft.rfft(cepstrum, axis=1).real
    bins = np.arange(spectrum.shape[1]) / ratio
    low = np.minimum(bins.astype(np.int64), spectrum.shape[1] - 2)
    share = np.minimum(bins - low, 1.0)
    moved = (1 - share) * envelope[:, low] + share * envelope[:, low + 1]
    gain = np.exp(np.clip(moved - envelope, -_MAX_LOG_GAIN, _MAX_LOG_GAIN))
    return istft(spectrum * gain, len(signal))


@lru_cache(maxsize=4)
def mel_filters(num_mels: int) -> NDArray[np.float64]:
    """(257, num_mels) triangles on the HTK mel scale, 0 to 8 kHz."""
    edges_mel = np.linspace(0.0, 2595 * np.log10(1 + _SAMPLE_RATE_HZ / 2 / 700), num_mels + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bins_hz = np.linspace(0, _SAMPLE_RATE_HZ / 2, _NUM_FFT // 2 + 1)[:, None]
    rising = (bins_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz) / np.diff(edges_hz)[1:]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


def vocode(signal: Signal, *, num_mels: int, num_iterations: int, rng: np.random.Generator) -> Signal:
    """A mel-vocoder round trip: magnitudes to mels and back, phase by the fast Griffin-Lim (Perraudin et al. 2013)."""
    filters = mel_filters(num_mels)
    inverse = _mel_inverse(num_mels)
    magnitude = np.maximum(np.abs(stft(signal)) @ filters @ inverse, 0.0)
    current = magnitude * np.exp(2j * np.pi * rng.random(magnitude.shape))
    previous = current
    for _ in range(num_iterations):
        projected = stft(istft(current, len(signal)))
        accelerated = projected + 0.9 * (projected - previous)
        previous = projected
        current = magnitude * accelerated / np.maximum(np.abs(accelerated), 1e-9)
    return istft(current, len(signal))


@lru_cache(maxsize=4)
def _mel_inverse(num_mels: int) -> NDArray[np.float64]:
    return np.asarray(np.linalg.pinv(mel_filters(num_mels)))
