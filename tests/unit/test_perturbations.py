"""Perturbed clips: worse level by level, the same on every run, and nothing in them moved in time."""

from __future__ import annotations

import functools
import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.manifest import Modality
from iamsb_core.media import limits
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, DecodeError, MediaProbe
from iamsb_core.media.perturbations import pitch
from iamsb_core.media.perturbations.apply import perturbed
from iamsb_core.media.perturbations.codecs import aac_samples
from iamsb_core.media.perturbations.sound import room_echoes
from iamsb_core.media.perturbations.spec import KIND_NAMES, KINDS, LEVELS, KindName, Level, PerturbationSpec
from iamsb_core.timeline import TimeGrid

PICTURE_KINDS = [name for name, kind in KINDS.items() if kind.modality is Modality.VISUAL]
SOUND_KINDS = [name for name, kind in KINDS.items() if kind.modality is Modality.AUDIO]


def clip_of(
    waveform: NDArray[np.float32] | None, frames: NDArray[np.uint8] | None = None, sha256: str = "ab" * 32
) -> DecodedClip:
    num_samples = 0 if waveform is None else len(waveform)
    duration = num_samples / SAMPLE_RATE_HZ if frames is None else len(frames) / 25
    probe = MediaProbe(
        sha256=sha256,
        size_bytes=1,
        duration_seconds=duration,
        container="mp4",
        num_video_streams=1,
        num_audio_streams=1,
        video_codec="h264",
        width=96,
        height=96,
        rotation_degrees=0,
        num_video_frames=0 if frames is None else len(frames),
        average_fps=25.0,
        variable_frame_rate=False,
        video_start_seconds=0.0,
        audio_codec="aac",
        sample_rate_hz=SAMPLE_RATE_HZ,
        num_channels=1,
        audio_start_seconds=0.0,
    )
    return DecodedClip(
        probe=probe,
        duration_seconds=duration,
        waveform=waveform,
        frames=frames,
        frame_boxes=None,
        face_found=None,
        frame_grid=None if frames is None else TimeGrid(0.04, len(frames)),
        reader="pyav",
    )


@functools.cache
def talking() -> DecodedClip:
    """1.6 s of a drawn person, 112 pixels."""
    recording = draw_recording(1, 1.6, 0)
    frames = np.stack([cv2.resize(frame, (112, 112), interpolation=cv2.INTER_AREA) for frame in recording.frames])
    return clip_of(recording.waveform.astype(np.float32), frames)


def changed(clip: DecodedClip, kind: KindName, level: Level = 3, seed: int = 0) -> DecodedClip:
    return perturbed(clip, [PerturbationSpec(kind=kind, level=level, seed=seed)])


def sound(waveform: NDArray[np.floating], kind: KindName, level: Level = 3) -> NDArray[np.float32]:
    found = changed(clip_of(waveform.astype(np.float32)), kind, level).waveform
    assert found is not None
    return found


def picture(frame: NDArray[np.uint8], kind: KindName, level: Level = 3) -> NDArray[np.uint8]:
    found = changed(clip_of(None, frame[None]), kind, level).frames
    assert found is not None
    return found[0]


def decibels(signal: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Signal to noise, the noise being the difference."""
    return 10 * np.log10(np.square(signal).sum() / np.square(signal - other).sum())


def psnr(frames: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return 10 * np.log10(255**2 / np.square(frames.astype(np.float64) - other).mean())


def lag_samples(before: NDArray[np.floating], after: NDArray[np.floating]) -> int:
    """How much later `after` is, by the peak of the cross-correlation."""
    size = 2 * len(before)
    spectra = np.fft.rfft(after, size) * np.fft.rfft(before, size).conj()
    lag = int(np.argmax(np.fft.irfft(spectra, size)))
    return lag if lag < len(before) else lag - size


def envelope(waveform: NDArray[np.floating]) -> NDArray[np.float64]:
    """The loudness, smoothed over 50 ms, without its mean."""
    window = np.hanning(801)
    smooth = np.sqrt(np.convolve(np.square(waveform, dtype=np.float64), window / window.sum(), "same"))
    return smooth - smooth.mean()


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


# ---- laws


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_pictures_get_worse_level_by_level_and_stay_where_they_are(kind: KindName):
    clip = talking()
    assert clip.frames is not None
    found = [changed(clip, kind, level).frames for level in LEVELS]
    qualities = []
    for frames in found:
        assert frames is not None
        assert (frames.shape, frames.dtype) == (clip.frames.shape, np.uint8)
        qualities.append(psnr(clip.frames, frames))
    assert all(np.diff(qualities) < -0.2), qualities
    assert qualities[0] < 50
    assert changed(clip, kind).waveform is clip.waveform, "the sound is left alone"
    moving = np.argsort([psnr(clip.frames[20:21], frame[None]) for frame in found[0]])  # type: ignore[union-attr]
    assert moving[-1] == 20, "frame 20 is most like frame 20"


@pytest.mark.parametrize("kind", SOUND_KINDS)
def test_sounds_get_worse_level_by_level_and_stay_where_they_are(kind: KindName):
    clip = talking()
    assert clip.waveform is not None
    ratios = []
    for level in LEVELS:
        found = changed(clip, kind, level).waveform
        assert found is not None
        assert (found.shape, found.dtype) == (clip.waveform.shape, np.float32)
        assert np.abs(found).max() <= 1.0
        ratios.append(decibels(clip.waveform, found))
        if kind == "pitch":  # whose waveform is another one: only the loudness can be compared
            assert abs(lag_samples(envelope(clip.waveform), envelope(found))) <= 48, "3 ms"
        else:
            assert lag_samples(clip.waveform, found) == 0
    if kind != "pitch":
        assert all(np.diff(ratios) < -1.0), ratios
    assert changed(clip, kind).frames is clip.frames, "the picture is left alone"


@pytest.mark.parametrize("kind", SOUND_KINDS)
@given(num_samples=st.integers(1, 5000), loud=st.booleans())
@settings(deadline=None, max_examples=8)
def test_any_sound_keeps_its_length_and_its_range(kind: KindName, num_samples: int, loud: bool):
    rng = np.random.default_rng(num_samples)
    waveform = (rng.uniform(-1, 1, num_samples) * (1.0 if loud else 1e-4)).astype(np.float32)
    found = sound(waveform, kind, 5)
    assert found.shape == waveform.shape
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_one_frame_and_odd_sides_are_frames_too(kind: KindName):
    rng = np.random.default_rng(0)
    for size in (1, 7, 33):
        frames = rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        for clip in (clip_of(None, frames), clip_of(None, frames[:1])):
            found = changed(clip, kind).frames
            assert found is not None
            assert clip.frames is not None
            assert found.shape == clip.frames.shape


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_a_clip_is_perturbed_alike_whatever_came_before_it(kind: KindName):
    clip, other = talking(), replace(talking(), probe=replace(talking().probe, sha256="cd" * 32))
    first, elsewhere, again = changed(clip, kind), changed(other, kind), changed(clip, kind)
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.waveform, again.waveform)
    drawn = {"pixel-noise", "blocks", "sound-noise", "reverb"}
    same = np.array_equal(first.frames, elsewhere.frames) and np.array_equal(first.waveform, elsewhere.waveform)
    assert same == (kind not in drawn) or kind == "pitch"
    if kind in drawn:
        assert not np.array_equal(
            np.concatenate([np.ravel(first.frames), np.ravel(first.waveform)]),
            np.concatenate(
                [np.ravel(changed(clip, kind, seed=1).frames), np.ravel(changed(clip, kind, seed=1).waveform)]
            ),
        )


@pytest.mark.parametrize("kind", ["h264", "aac"])
def test_a_codec_does_not_look_at_what_lay_in_memory_before(kind: KindName):
    """x264's macroblock tree does, and is left out for that."""
    rng = np.random.default_rng(0)
    first = changed(talking(), kind, 5)
    for value in (255, 0, 77, 255, 128, 3):
        for size in rng.integers(1000, 300_000, 60).tolist():
            np.full(size, value, np.uint8)
        found = changed(talking(), kind, 5)
        np.testing.assert_array_equal(found.frames, first.frames)
        np.testing.assert_array_equal(found.waveform, first.waveform)


def test_several_are_applied_in_order_and_the_clip_given_is_left_as_it_was():
    clip = talking()
    assert clip.frames is not None
    before = clip.frames.copy()
    blur, jpeg, aac = (PerturbationSpec(kind=kind, level=4) for kind in ("blur", "jpeg", "aac"))
    both = perturbed(clip, [blur, aac, jpeg])
    np.testing.assert_array_equal(both.frames, perturbed(perturbed(clip, [blur]), [jpeg]).frames)
    np.testing.assert_array_equal(both.waveform, perturbed(clip, [aac]).waveform)
    assert not np.array_equal(both.frames, perturbed(clip, [jpeg, blur]).frames)
    np.testing.assert_array_equal(clip.frames, before)
    assert perturbed(clip, []) is clip
    assert perturbed(clip_of(None), [blur, aac]).waveform is None, "a stream that is not there stays away"


def test_a_full_disk_and_another_version_are_told(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="version 99 is wanted"):
        perturbed(talking(), [PerturbationSpec(kind="jpeg", level=1, version=99)])
    monkeypatch.setattr(limits, "_SPARE_BYTES", 1 << 62)
    with pytest.raises(DecodeError, match="temporary space") as raised:
        changed(talking(), "jpeg")
    assert raised.value.kind == "disk-full"
