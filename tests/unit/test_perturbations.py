"""What each perturbation does to a clip: by hand, and as independent sources do it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from perturbed_clips import changed, clip_of, decibels, picture, sound, talking
from PIL import Image

from iamsb_core.media.clip import SAMPLE_RATE_HZ
from iamsb_core.media.perturbations import pitch
from iamsb_core.media.perturbations.codecs import aac_samples
from iamsb_core.media.perturbations.sound import room_echoes
from iamsb_core.media.perturbations.spec import LEVELS, PerturbationSpec


def num_turns(waveform: NDArray[np.floating]) -> int:
    """How often it crosses zero."""
    return int(np.count_nonzero(np.diff(np.signbit(waveform))))


# ---- by hand


def test_colours_by_hand():
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    assert (picture(red, "saturation", 5) == 76).all(), "0.299 * 255, no colour left"
    assert (picture(red, "saturation", 1) == (148, 46, 46)).all(), "0.4 * 255 + 0.6 * 76.245 and 0.6 * 76.245"
    grey = np.full((8, 8, 3), 228, np.uint8)
    assert (picture(grey, "contrast", 5) == 163).all(), "128 + 0.35 * (228 - 128)"


def test_blocks_are_grey_squares_and_no_more_of_them_than_the_level_says():
    white = np.full((2, 224, 224, 3), 255, np.uint8)
    for level, most in zip(LEVELS, (16, 32, 48, 64, 80), strict=True):
        frames = changed(clip_of(None, white), "blocks", level).frames
        assert frames is not None
        lost = (frames == 128).all(axis=3)
        assert ((frames == 255).all(axis=3) ^ lost).all()
        for number in lost.sum(axis=(1, 2)):
            assert 0.7 * most * 64 < number <= most * 64, "some squares overlap"
        assert (lost[0] != lost[1]).any(), "other places in every frame"


def test_noise_is_as_strong_as_it_says():
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert np.std(picture(grey, "pixel-noise", 2).astype(float)) == pytest.approx(255 * 0.002**0.5, rel=0.02)
    hum = 0.3 * np.sin(np.arange(3 * SAMPLE_RATE_HZ) / 20)
    for level, wanted in zip(LEVELS, (30, 20, 15, 10, 5), strict=True):
        assert decibels(hum, sound(hum, "sound-noise", level)) == pytest.approx(wanted, abs=0.1)
    assert not sound(np.zeros(1000), "sound-noise", 5).any(), "silence stays silent"


def test_a_click_is_heard_at_once_and_then_its_echoes():
    click = np.zeros(SAMPLE_RATE_HZ)
    click[100] = 0.5
    heard = sound(click, "reverb", 3)
    assert np.abs(heard[:100]).max() < 1e-6
    assert heard[100] == pytest.approx(0.5)
    assert np.abs(heard[101:179]).max() < 1e-6, "no echo within 5 ms"
    echoes = np.square(heard[101:]).sum() / 0.5**2
    assert 10 * np.log10(1 / echoes) == pytest.approx(6.0, abs=0.01), "the level's direct to reverberant ratio"


def test_a_tone_moves_by_semitones_and_not_in_loudness():
    seconds = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = 0.4 * np.sin(2 * np.pi * 440 * seconds)
    moved = []
    for level, semitones in zip(LEVELS, (0.5, 1, 2, 3, 4), strict=True):
        middle = sound(tone, "pitch", level)[4000:-4000]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
        found_hz = float(np.argmax(spectrum)) * SAMPLE_RATE_HZ / (1 << 18)
        moved.append(12 * np.log2(found_hz / 440))
        assert abs(moved[-1]) == pytest.approx(semitones, abs=0.02)
        assert np.std(middle) == pytest.approx(0.4 / 2**0.5, rel=0.02)
    assert len(set(np.sign(moved))) == 1, "one clip goes one way at every level"


def test_clips_go_up_or_down_in_pitch():
    seconds = np.arange(8000) / SAMPLE_RATE_HZ
    tone = (0.4 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    ups = 0
    for number in range(12):
        found = changed(clip_of(tone, sha256=f"{number:064x}"), "pitch", 5).waveform
        assert found is not None
        ups += num_turns(found[1000:-1000]) > num_turns(tone[1000:-1000])
    assert 0 < ups < 12


def test_a_lower_sample_rate_loses_what_lies_above_its_half():
    seconds = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    low, high = (0.3 * np.sin(2 * np.pi * hz * seconds) for hz in (1000, 3000))
    heard = sound(low + high, "resample", 5)[500:-500]
    assert decibels(low[500:-500], heard) > 40


# ---- independent sources


def test_jpeg_is_what_pillow_makes_of_it():
    assert talking().frames is not None
    frame = talking().frames[10]
    for level, quality in zip(LEVELS, (75, 50, 30, 18, 10), strict=True):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, format="JPEG", quality=quality, subsampling="4:2:0")
        theirs = np.asarray(Image.open(file)).astype(int)
        assert np.abs(picture(frame, "jpeg", level) - theirs).mean() < 0.5


def test_reverberation_in_pieces_is_one_convolution():
    rng = np.random.default_rng(0)
    noise = 0.05 * rng.standard_normal(150_000)
    spec = PerturbationSpec(kind="reverb", level=2)
    echoes = room_echoes(spec.generator("ab" * 32)) * 10 ** (-10 / 20)
    whole = np.fft.irfft(np.fft.rfft(noise, 1 << 18) * np.fft.rfft([1.0, *echoes], 1 << 18))[: len(noise)]
    np.testing.assert_allclose(sound(noise, "reverb", 2), whole, atol=1e-5)


def test_a_long_sound_is_shifted_in_pieces_as_in_one_go(monkeypatch: pytest.MonkeyPatch):
    waveform = talking().waveform
    assert waveform is not None
    whole = np.concatenate([*pitch.shift_pitch(waveform, semitones=3)])
    monkeypatch.setattr(pitch, "_FRAMES_PER_PASS", 7)
    np.testing.assert_allclose(np.concatenate([*pitch.shift_pitch(waveform, semitones=3)]), whole, atol=1e-5)
    assert decibels(waveform, np.concatenate([*pitch.shift_pitch(waveform, semitones=0)])[: len(waveform)]) > 40


@given(st.lists(st.integers(0, 3000), max_size=8))
@settings(deadline=None, max_examples=10)
def test_aac_does_not_depend_on_how_the_sound_is_cut(lengths: list[int]):
    noise = (0.1 * np.random.default_rng(0).standard_normal(6000)).astype(np.float32)
    edges = np.minimum(np.cumsum([0, *lengths]), len(noise)).tolist()
    parts = [noise[a:b] for a, b in zip([*edges], [*edges[1:], len(noise)], strict=True)]
    found = np.concatenate([*aac_samples(parts, len(noise), bit_rate=24_000)])
    np.testing.assert_array_equal(found, np.concatenate([*aac_samples([noise], len(noise), bit_rate=24_000)]))
