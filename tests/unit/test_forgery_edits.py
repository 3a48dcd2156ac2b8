"""Forgeries before encoding: exactly the span is touched, and what is put there is what the method says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iamsb_core.forgery.audio_edits import forge_audio
from iamsb_core.forgery.config import AUDIO_METHODS, VISUAL_METHODS, AudioMethod, VisualMethod
from iamsb_core.forgery.face_region import blend, soft_mask, track_face
from iamsb_core.forgery.placement import place_spans
from iamsb_core.forgery.recording import Recording, is_saved, load_recording, save_recording
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.forgery.visual_edits import forge_frames, visible_change

FACE = np.array([60, 60, 164, 164], dtype=np.float32)


@pytest.fixture(scope="module")
def people() -> tuple[Recording, Recording]:
    return draw_recording(0, 4.0, seed=1), draw_recording(1, 4.0, seed=1)


def constant(level: float, num_frames: int = 50, name: str = "a") -> Recording:
    """A recording whose every sample is `level`, and whose frame i is grey i."""
    frames = np.broadcast_to(np.arange(num_frames, dtype=np.uint8)[:, None, None, None], (num_frames, 224, 224, 3))
    waveform = np.full(num_frames * 640, level, dtype=np.float32)
    return Recording(name, name, frames, waveform, np.tile(FACE, (num_frames, 1)))


def test_a_splice_by_hand() -> None:
    # own 0.25 0.25 0.25 | 0.25 -> the other's -0.5, made as loud: -0.25 | 0.25 ...
    own, other = constant(0.25), constant(-0.5, name="b")
    forged = forge_audio(
        own.waveform[6400:25600],
        6400,
        (1000, 5000),
        "splice_other",
        recording=own,
        others=(other,),
        fade_samples=160,
        rng=np.random.default_rng(0),
    )
    assert (forged[:1000] == 0.25).all()
    assert (forged[5000:] == 0.25).all()
    np.testing.assert_allclose(forged[1160:4840], -0.25, rtol=1e-6)
    # raised cosine: half way through the fade the two cancel
    assert forged[1079] == pytest.approx(-forged[1080], abs=1e-6)
    assert np.abs(np.diff(forged)).max() < 0.5 * np.pi / 160 + 1e-6


@pytest.mark.parametrize("method", AUDIO_METHODS)
def test_only_the_samples_of_the_span_change(people: tuple[Recording, Recording], method: AudioMethod) -> None:
    own, other = people
    clip = own.waveform[16000:56000]
    start, stop = 12345, 22345
    rng = np.random.default_rng(3)
    forged = forge_audio(clip, 16000, (start, stop), method, recording=own, others=(other,), fade_samples=160, rng=rng)
    assert forged.dtype == np.float32
    assert np.array_equal(forged[:start], clip[:start])
    assert np.array_equal(forged[stop:], clip[stop:])
    changed = forged[start:stop] - clip[start:stop]
    assert np.sqrt((changed**2).mean()) > 0.1 * np.sqrt((clip[start:stop] ** 2).mean())
    assert np.abs(forged).max() <= 1.0


@pytest.mark.parametrize("method", AUDIO_METHODS)
def test_no_click_at_the_edges(people: tuple[Recording, Recording], method: AudioMethod) -> None:
    own, other = people
    clip = own.waveform[16000:56000]
    forged = forge_audio(
        clip,
        16000,
        (12000, 20000),
        method,
        recording=own,
        others=(other,),
        fade_samples=160,
        rng=np.random.default_rng(5),
    )
    bend = np.abs(np.diff(forged, n=2))
    natural = np.quantile(np.abs(np.diff(clip, n=2)), 0.999)
    assert max(bend[11995:12005].max(), bend[19995:20005].max()) < 2 * natural


def forge_constant(method: VisualMethod, seed: int, fade_frames: int = 0) -> NDArray[np.int64]:
    """Grey level at the face's centre of each of frames 10 to 40, with frames 10 to 22 of these forged."""
    own = constant(0.1)
    forged = forge_frames(
        np.asarray(own.frames[10:40]),
        10,
        (10, 22),
        method,
        recording=own,
        others=(),
        fade_frames=fade_frames,
        rng=np.random.default_rng(seed),
    )
    return forged[:, 112, 112, 0].astype(np.int64)


@pytest.mark.parametrize("seed", range(6))
def test_a_time_shift_by_hand(seed: int) -> None:
    levels = forge_constant("time_shift", seed)
    assert levels[:10].tolist() == list(range(10, 20))
    assert levels[22:].tolist() == list(range(32, 40))
    shift = levels[10:22] - np.arange(20, 32)
    assert 6 <= abs(shift[0]) <= 25
    assert (shift == shift[0]).all()


@pytest.mark.parametrize("seed", range(6))
def test_reordered_frames_are_the_same_frames(seed: int) -> None:
    levels = forge_constant("reorder", seed)
    assert sorted(levels[10:22].tolist()) == list(range(20, 32))
    assert levels[10:22].tolist() != list(range(20, 32))
    assert levels[:10].tolist() == list(range(10, 20))


def test_the_frames_at_the_edges_are_mixed_half_and_half() -> None:
    hard, soft = forge_constant("time_shift", 0), forge_constant("time_shift", 0, fade_frames=1)
    assert soft[10] == pytest.approx((hard[10] + 20) / 2, abs=0.5)
    assert soft[21] == pytest.approx((hard[21] + 31) / 2, abs=0.5)
    assert soft[11:21].tolist() == hard[11:21].tolist()


@pytest.mark.parametrize("method", VISUAL_METHODS)
def test_only_the_frames_of_the_span_change(people: tuple[Recording, Recording], method: VisualMethod) -> None:
    own, other = people
    clip = np.asarray(own.frames[20:70])
    forged = forge_frames(
        clip, 20, (12, 30), method, recording=own, others=(other,), fade_frames=1, rng=np.random.default_rng(2)
    )
    same = (forged == clip).all(axis=(1, 2, 3))
    assert np.flatnonzero(~same).min() == 12
    assert np.flatnonzero(~same).max() == 29
    assert visible_change(clip[12:30], forged[12:30]) > 8
    assert visible_change(clip[:12], forged[:12]) == 0


@pytest.mark.parametrize("method", ["resample", "blend_own", "inpaint"])
def test_far_from_the_face_nothing_changes(people: tuple[Recording, Recording], method: VisualMethod) -> None:
    own, other = people
    clip = np.asarray(own.frames[20:70])
    forged = forge_frames(
        clip, 20, (12, 30), method, recording=own, others=(other,), fade_frames=0, rng=np.random.default_rng(2)
    )
    assert np.array_equal(forged[:, :15], clip[:, :15])
    assert np.array_equal(forged[:, :, :15], clip[:, :, :15])


def test_masks_are_one_inside_and_zero_outside() -> None:
    mask = soft_mask(FACE, "mouth", 224)
    centre_y = round(60 + 0.79 * 104)
    assert mask[centre_y, 112] == 1
    assert mask[10, 10] == 0
    assert mask.min() >= 0
    assert mask.max() <= 1
    grey, white = (np.full((224, 224, 3), level, dtype=np.uint8) for level in (100, 200))
    mixed = blend(grey, white, mask)
    assert (mixed[mask == 0] == 100).all()
    assert (mixed[mask == 1] == 200).all()


def test_without_a_face_the_middle_is_taken() -> None:
    track = track_face(np.zeros((9, 224, 224, 3), dtype=np.uint8))
    assert track.shape == (9, 4)
    np.testing.assert_allclose(track[0], [0.22 * 224, 0.2 * 224, 0.78 * 224, 0.82 * 224], rtol=1e-6)


def test_a_recording_comes_back_from_disk(people: tuple[Recording, Recording], tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert not is_saved(tmp_path / "r")
    save_recording(people[0], tmp_path / "r")
    assert is_saved(tmp_path / "r")
    back = load_recording(tmp_path / "r")
    assert back.person == people[0].person
    assert np.array_equal(back.frames, people[0].frames)
    assert np.array_equal(back.waveform, people[0].waveform)


def test_a_recording_whose_parts_disagree_is_refused() -> None:
    with pytest.raises(ValueError, match="3 frames need 1920 samples"):
        Recording("x", "x", np.zeros((3, 2, 2, 3), np.uint8), np.zeros(1919, np.float32), np.zeros((3, 4), np.float32))


@given(
    num_frames=st.integers(50, 200),
    num_spans=st.integers(1, 3),
    units=st.sampled_from([1, 640]),
    seed=st.integers(0, 2**32 - 1),
    voiced_share=st.floats(0, 1),
)
@settings(deadline=None, max_examples=60)
def test_spans_keep_their_bounds_and_distances(
    num_frames: int, num_spans: int, units: int, seed: int, voiced_share: float
) -> None:
    rng = np.random.default_rng(seed)
    voiced = rng.random(num_frames) < voiced_share
    rate = 25 * units
    spans = place_spans(
        num_spans, voiced, units_per_frame=units, frame_rate_hz=25, segment_seconds=(0.16, 2.0), rng=rng
    )
    assert 1 <= len(spans) <= num_spans
    assert spans == tuple(sorted(spans))
    for start, stop in spans:
        assert 0.16 * rate - 1e-6 <= stop - start <= 2.0 * rate + 1e-6
        assert 0.12 * rate <= start
        assert stop <= num_frames * units - 0.12 * rate
    for (_, stop), (start, _) in itertools.pairwise(spans):
        assert start - stop >= 0.3 * rate
    assert sum(stop - start for start, stop in spans) <= 0.6 * num_frames * units


def test_spans_seek_speech() -> None:
    voiced = np.zeros(100, dtype=bool)
    voiced[40:70] = True
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ((start, stop),) = place_spans(
            1, voiced, units_per_frame=1, frame_rate_hz=25, segment_seconds=(0.2, 0.8), rng=rng
        )
        shares.append(voiced[start:stop].mean())
    assert np.mean(shares) > 0.9
