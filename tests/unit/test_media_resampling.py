"""Resampling in pieces against resampling in one go."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchaudio.functional
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.media import resampling
from iamsb_core.media.resampling import Resampler, resample


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_PIECE_SAMPLES", 4000)


def in_pieces(sound: np.ndarray, from_hz: int, cuts: list[int]) -> np.ndarray:
    resampler = Resampler(from_hz, 16_000)
    ready = [piece for part in np.split(sound, sorted(cuts)) for piece in resampler.push(part)]
    return np.concatenate([*ready, resampler.finish()])


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([8000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000]),
    st.integers(0, 20_000),
    st.lists(st.integers(0, 20_000), max_size=8),
)
def test_pieces_join_without_a_seam(from_hz: int, num_samples: int, cuts: list[int]) -> None:
    sound = np.random.default_rng(num_samples).standard_normal(num_samples).astype(np.float32)
    joined = in_pieces(sound, from_hz, [min(cut, num_samples) for cut in cuts])
    assert len(joined) == math.ceil(num_samples * 16_000 / from_hz)
    if num_samples:
        whole = torchaudio.functional.resample(torch.from_numpy(sound), from_hz, 16_000).numpy()
        np.testing.assert_allclose(joined, whole, atol=2e-6)


def test_a_tone_keeps_its_pitch_and_its_place() -> None:
    # 1 kHz at 48 kHz, sampled anew at 16 kHz: the same sine at the new instants
    old = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000).astype(np.float32)
    new = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(resample(old, 48_000, 16_000)[100:-100], new[100:-100], atol=2e-3)


def test_the_same_rate_changes_nothing() -> None:
    sound = np.random.default_rng(0).standard_normal(9001).astype(np.float32)
    np.testing.assert_array_equal(resample(sound, 16_000, 16_000), sound)


def test_an_awkward_rate_stays_cheap_and_in_time() -> None:
    # 47,999 Hz has no common factor with 16,000: exactly, the kernel would hold 768 million numbers
    sound = np.zeros(47_999 * 3, dtype=np.float32)
    sound[47_999 * 2] = 1.0
    heard = resample(sound, 47_999, 16_000)
    assert abs(len(heard) - 48_000) <= 2
    assert abs(int(np.abs(heard).argmax()) - 32_000) <= 1
