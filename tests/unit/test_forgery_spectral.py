"""The signal processing: inverses, and what a pure tone must become."""

from __future__ import annotations

import numpy as np
import pytest
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.forgery.spectral import (
    Signal,
    istft,
    mel_filters,
    shift_formants,
    shift_pitch,
    stft,
    stretch,
    vocode,
)


def tone(frequency_hz: float, num_samples: int = 16000) -> Signal:
    return np.asarray(0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / 16000))


def peak_hz(signal: Signal) -> float:
    middle = signal[2000:-2000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 17))
    return float(np.argmax(spectrum) * 16000 / (1 << 17))


@given(num_samples=st.integers(600, 5000), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_istft_undoes_stft(num_samples: int, seed: int) -> None:
    signal = np.random.default_rng(seed).standard_normal(num_samples)
    kept = (num_samples // 128) * 128  # samples beyond the last whole hop have no frame centred after them
    np.testing.assert_allclose(istft(stft(signal), num_samples)[:kept], signal[:kept], atol=1e-9)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_stretching_changes_the_length_and_not_the_pitch(factor: float) -> None:
    stretched = stretch(tone(440), round(16000 * factor))
    assert len(stretched) == round(16000 * factor)
    assert peak_hz(stretched) == pytest.approx(440, abs=2)


@given(num_samples=st.integers(1024, 9000), factor=st.floats(0.5, 2.0), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_stretched_noise_is_as_loud_from_end_to_end(num_samples: int, factor: float, seed: int) -> None:
    stretched = stretch(np.random.default_rng(seed).standard_normal(num_samples), round(num_samples * factor))
    cells = stretched[: len(stretched) // 128 * 128].reshape(-1, 128)
    assert np.abs(stretched).max() < 8
    assert np.sqrt((cells**2).mean(axis=1)).min() > 0.15


@pytest.mark.parametrize("ratio", [0.75, 1.25])
def test_shifting_the_pitch_moves_a_tone_and_keeps_the_length(ratio: float) -> None:
    shifted = shift_pitch(tone(440), ratio)
    assert len(shifted) == 16000
    assert peak_hz(shifted) == pytest.approx(440 * ratio, rel=0.005)


def test_shifting_formants_moves_the_envelope_and_keeps_the_pitch() -> None:
    pulses = np.zeros(16000)
    pulses[::160] = 1.0  # 100 Hz
    ring = np.exp(-np.arange(400) / 60) * np.sin(2 * np.pi * 1000 * np.arange(400) / 16000)
    voice = 0.2 * np.convolve(pulses, ring)[:16000]
    shifted = shift_formants(voice, 1.3)
    assert peak_hz(voice) == pytest.approx(1000, abs=60)
    assert peak_hz(shifted) == pytest.approx(1300, abs=110)
    assert peak_hz(shifted) % 100 == pytest.approx(0, abs=3) or peak_hz(shifted) % 100 == pytest.approx(100, abs=3)


def test_a_vocoder_round_trip_keeps_the_mels_and_loses_the_samples() -> None:
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(8000) * np.linspace(0.1, 1.0, 8000)
    voiced = vocode(noise, num_mels=80, num_iterations=16, rng=rng)
    before, after = (np.log(np.abs(stft(x)) @ mel_filters(80) + 1e-3) for x in (noise, voiced))
    assert np.abs(before - after)[4:-4].mean() < 0.35
    assert abs(np.corrcoef(noise, voiced)[0, 1]) < 0.5


@pytest.mark.parametrize("num_mels", [40, 80])
def test_the_mel_filters_are_torchaudios(num_mels: int) -> None:
    theirs = torchaudio.functional.melscale_fbanks(257, 0.0, 8000.0, num_mels, 16000, norm=None, mel_scale="htk")
    np.testing.assert_allclose(mel_filters(num_mels), theirs.numpy(), atol=2e-4)
