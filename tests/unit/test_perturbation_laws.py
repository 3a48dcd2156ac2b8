"""Perturbed clips: worse level by level, the same on every run, and nothing in them moved in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from perturbed_clips import changed, clip_of, decibels, sound, talking

from iamsb_core.manifest import Modality
from iamsb_core.media import limits
from iamsb_core.media.clip import DecodeError
from iamsb_core.media.perturbations.apply import perturbed
from iamsb_core.media.perturbations.spec import KIND_NAMES, KINDS, LEVELS, KindName, PerturbationSpec

PICTURE_KINDS = [name for name, kind in KINDS.items() if kind.modality is Modality.VISUAL]
SOUND_KINDS = [name for name, kind in KINDS.items() if kind.modality is Modality.AUDIO]


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
