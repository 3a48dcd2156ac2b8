"""Asynchronous placement, joined takes and levels of difficulty, before any clip is encoded."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.forgery.asynchronous import EDGES_SECONDS, LENGTH_SHARES, Stream, draw_length
from iamsb_core.forgery.audio_edits import forge_audio
from iamsb_core.forgery.clip_maker import forge_clip, genuine_clip
from iamsb_core.forgery.config import (
    AUDIO_METHODS,
    AudioMethod,
    EncodingConfig,
    ForgeConfig,
    Methods,
    SplitMethods,
    VisualMethod,
)
from iamsb_core.forgery.difficulty import DIFFICULTIES
from iamsb_core.forgery.plan import ClipKind, ClipPlan, plan_clips
from iamsb_core.forgery.presets import asynchronous_forgery, extended_forgery, long_forgery
from iamsb_core.forgery.recording import Recording
from iamsb_core.forgery.spans import forged_spans
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.forgery.takes import Piece, SourceLength, join_takes
from iamsb_core.forgery.visual_edits import forge_frames

FACE = np.array([60, 60, 164, 164], dtype=np.float32)


def constant(level: float, num_frames: int, name: str) -> Recording:
    """A recording whose every sample is `level`, and whose frame i is grey i mod 251, in no memory to speak of."""
    greys = (np.arange(num_frames) % 251).astype(np.uint8)
    frames = np.broadcast_to(greys[:, None, None, None], (num_frames, 224, 224, 3))
    faces = np.broadcast_to(FACE, (num_frames, 4))
    return Recording(name, "one", frames, np.full(num_frames * 640, level, dtype=np.float32), faces)


# ---- lengths and places as DDL-AV's


@pytest.mark.parametrize("stream", ["audio", "visual"])
def test_lengths_have_the_histogram_of_the_benchmark(stream: Stream) -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_length(stream, (2400, 64_000), rate=16_000, rng=rng) for _ in range(4000)]) / 16_000
    counts, _ = np.histogram(drawn, np.minimum(EDGES_SECONDS, 5.0))
    np.testing.assert_allclose(counts / 4000, LENGTH_SHARES[stream], atol=0.025)  # 3 standard errors of 4000 draws
    assert drawn.min() >= 0.15 - 1e-9
    assert drawn.max() <= 4.0 + 1e-9


def test_classes_outside_the_bounds_are_left_out() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_length("audio", (8, 25), rate=25.0, rng=rng) for _ in range(200)]  # 0.32 to 1 s at 25 Hz
    assert min(drawn) >= 8
    assert max(drawn) <= 25
    share_short = np.mean(np.array(drawn) <= 12.5)
    assert share_short == pytest.approx(0.57 / (0.57 + 0.21), abs=0.1)
    assert draw_length("audio", (8, 8), rate=25.0, rng=rng) == 8


@given(
    kind=st.sampled_from(["audio", "visual", "both_same_time", "both_different_times"]),
    num_frames=st.integers(125, 400),
    seed=st.integers(0, 2**32 - 1),
    asynchronous=st.booleans(),
    joined=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_every_stream_that_is_forged_has_a_segment_and_keeps_its_distance(
    kind: ClipKind, num_frames: int, seed: int, asynchronous: bool, joined: bool
) -> None:
    config = asynchronous_forgery() if asynchronous else ForgeConfig()
    joints = (60,) if joined else ()
    voiced = np.random.default_rng(seed).random(num_frames) < 0.7
    audio, visual = forged_spans(kind, voiced, config, joints=joints, rng=np.random.default_rng(seed))
    assert bool(audio) == (kind != "visual")
    assert bool(visual) == (kind != "audio")
    sound = [(start / 16_000, stop / 16_000) for start, stop in audio]
    picture = [(start / 25, stop / 25) for start, stop in visual]
    for spans in (sound, picture):
        assert spans == sorted(spans)
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert start - end >= 0.3 - 1e-6
        for start, end in spans:
            assert 0.12 - 1e-6 <= start < end <= num_frames / 25 - 0.12 + 1e-6
            assert all(end <= joint / 25 - 0.3 + 1e-6 or joint / 25 + 0.3 - 1e-6 <= start for joint in joints)
    if kind == "both_same_time":
        np.testing.assert_allclose(sound, picture)
    if kind == "both_different_times":
        for (start, end), (begin, stop) in itertools.product(sound, picture):
            assert end <= begin - 0.3 + 1e-6 or stop <= start - 0.3 + 1e-6


def test_asynchronous_clips_keep_the_histogram_where_there_is_room() -> None:
    config, rng = asynchronous_forgery(), np.random.default_rng(0)
    voiced = np.ones(250, dtype=bool)
    spans = [forged_spans("both_different_times", voiced, config, rng=rng) for _ in range(600)]
    for index, (stream, rate) in enumerate((("audio", 16_000), ("visual", 25))):
        seconds = np.array([stop - start for clip in spans for start, stop in clip[index]]) / rate
        counts, _ = np.histogram(seconds, np.minimum(EDGES_SECONDS, 5.0))
        np.testing.assert_allclose(counts / len(seconds), LENGTH_SHARES[stream], atol=0.06)  # type: ignore[index]


# ---- joined takes


def test_takes_are_joined_by_hand() -> None:
    # 100 + 60 frames of one person to a clip of 250: 100, 60, then the first again; 90 are left of it
    takes = [SourceLength("a", "one", 100), SourceLength("b", "one", 60)]
    pieces = join_takes(takes[0], takes, 250, 50, np.random.default_rng(0))
    assert [(piece.source, piece.num_frames) for piece in pieces] == [("a", 100), ("b", 60), ("a", 90)]
    # 130: 100 would leave 30, less than a take may have, so the first gives 80
    pieces = join_takes(takes[0], takes, 130, 50, np.random.default_rng(0))
    assert [(piece.source, piece.num_frames) for piece in pieces] == [("a", 80), ("b", 50)]


@given(
    lengths=st.lists(st.integers(50, 400), min_size=1, max_size=4),
    num_frames=st.integers(60, 3000),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=60)
def test_joined_takes_fill_the_clip_and_lie_in_their_recordings(lengths: list[int], num_frames: int, seed: int) -> None:
    takes = {f"s{i}": SourceLength(f"s{i}", "one", length) for i, length in enumerate(lengths)}
    pieces = join_takes(takes["s0"], list(takes.values()), num_frames, 50, np.random.default_rng(seed))
    assert num_frames - 50 < sum(piece.num_frames for piece in pieces) <= num_frames
    for piece in pieces:
        assert piece.num_frames >= 50
        assert 0 <= piece.first_frame <= takes[piece.source].num_frames - piece.num_frames


def test_long_clips_are_planned_with_several_segments_and_nobody_in_two_splits() -> None:
    sources = [SourceLength(f"s{i}", f"person {i // 2}", 200 + i) for i in range(40)]
    config = replace(long_forgery(), num_clips=(30, 6, 10))
    plans = plan_clips(sources, config, seed=1)
    person = {source.key: source.person for source in sources}
    where: dict[str, set[str]] = {}
    for plan in plans:
        assert 248 - 50 <= plan.num_frames <= 750
        assert len({person[piece.source] for piece in plan.pieces}) == 1
        for key in (*(piece.source for piece in plan.pieces), *plan.others):
            where.setdefault(person[key], set()).add(plan.split)
    assert all(len(splits) == 1 for splits in where.values())
    assert any(len(plan.pieces) > 1 for plan in plans)
    audio, _ = forged_spans("audio", np.ones(750, dtype=bool), config, rng=np.random.default_rng(0))
    assert 3 <= len(audio) <= 6  # 12 in a minute, and half of them at least


def test_a_joint_is_silent_and_hidden_in_no_forgery() -> None:
    one, two = constant(0.25, 100, "a"), constant(-0.5, 100, "b")
    plan = ClipPlan("train/0.mp4", "train", "real", (Piece("a", 10, 60), Piece("b", 20, 50)), (), (0, 0))
    genuine = genuine_clip(plan, {"a": one, "b": two})
    assert genuine.joints == (60,)
    waveform = genuine.waveform()
    assert len(waveform) == 110 * 640
    assert waveform[60 * 640 - 481] == pytest.approx(0.25)
    assert abs(waveform[60 * 640 - 1]) < 1e-4
    assert abs(waveform[60 * 640]) < 1e-4
    assert waveform[60 * 640 + 480] == pytest.approx(-0.5)
    assert (one.waveform == 0.25).all(), "the recording itself is left alone"
    assert [int(frame[0, 0, 0]) for frame in genuine.frames(58, 60)] == [68, 69]
    assert [int(frame[0, 0, 0]) for frame in genuine.frames(60, 62)] == [20, 21]


def test_a_clip_of_five_minutes_is_forged_and_shown_in_bounded_memory() -> None:
    """Its frames would fill 1.1 GB; only the forged ones, and the sound, are kept."""
    recordings = {"a": constant(0.25, 4000, "a"), "b": constant(-0.5, 4000, "b")}
    config = replace(extended_forgery(), visual_methods=("time_shift", "reorder"), audio_methods=("splice_same",))
    pieces = (Piece("a", 0, 3750), Piece("b", 100, 3750))
    plan = ClipPlan("train/0.mp4", "train", "both_same_time", pieces, (), (0, 0))
    tracemalloc.start()
    clip = forge_clip(plan, recordings, config)
    num_different = sum(int(frame[0, 0, 0]) != expected for frame, expected in zip(clip.pictures, greys(), strict=True))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(clip.pictures) == 7500
    assert 15 <= len(clip.visual) <= 30
    forged_frames = sum(round((span.end - span.start) * 25) for span in clip.visual)
    assert 0 < num_different <= forged_frames
    assert peak_bytes < (forged_frames + 300) * 224 * 224 * 3 + 6 * clip.waveform.nbytes


def greys() -> list[int]:
    return [*(i % 251 for i in range(3750)), *(i % 251 for i in range(100, 3850))]


# ---- methods


def test_each_split_is_forged_by_its_own_methods_and_none_without_a_donor() -> None:
    people = {f"s{i}": draw_recording(i, 4.0, seed=3) for i in range(2)}
    unseen = SplitMethods(test=Methods(audio=("vocoder", "splice_other"), visual=("inpaint", "blend_other")))
    config = ForgeConfig(audio_methods=("splice_same",), visual_methods=("resample",), split_methods=unseen)
    for split, others, audio, visual in (
        ("train", ("s1",), {"splice_same"}, {"resample"}),
        ("test", ("s1",), {"vocoder", "splice_other"}, {"inpaint", "blend_other"}),
        ("test", (), {"vocoder"}, {"inpaint"}),  # nobody else: nothing is called a splice of another's voice
    ):
        heard: set[str] = set()
        seen: set[str] = set()
        for number in range(8):
            plan = ClipPlan(f"{number}.mp4", split, "both_same_time", (Piece("s0", 0, 100),), others, (5, number))  # type: ignore[arg-type]
            clip = forge_clip(plan, people, config)
            heard |= {span.method for span in clip.audio}
            seen |= {span.method for span in clip.visual}
        assert (heard, seen) == (audio, visual)


def test_a_split_of_one_person_cannot_be_forged_with_others_only() -> None:
    sources = [SourceLength(f"s{i}", f"person {i}", 200) for i in range(3)]
    with pytest.raises(ValueError, match=r"train has one person, and its audio methods \(splice_other\)"):
        plan_clips(sources, ForgeConfig(audio_methods=("splice_other",)), 0)


# ---- difficulty


def test_medium_changes_nothing() -> None:
    config = ForgeConfig(segment_seconds=(0.3, 1.7), encoding=EncodingConfig(crf=20, audio_bit_rate=64_000))
    assert config.forged_seconds == (0.3, 1.7)
    assert config.clip_encoding == config.encoding


def test_levels_by_hand() -> None:
    easy, hard = (ForgeConfig(difficulty=name) for name in ("easy", "hard"))
    assert easy.forged_seconds == (0.3, 4.0)
    assert hard.forged_seconds == (0.12, 1.0)  # 0.075 s would be less than three frames
    assert (easy.clip_encoding.crf, hard.clip_encoding.crf) == (18, 30)
    assert hard.clip_encoding.audio_bit_rate == 32_000
    assert list(DIFFICULTIES) == ["easy", "medium", "hard"]


def mean_change_of_sound(own: Recording, other: Recording, method: AudioMethod, strength: float) -> float:
    """Of the spectrum's level in dB, from 100 Hz to 8 kHz, over a few draws."""
    clip, span = own.waveform[16_000:48_000], (8000, 24_000)
    changes = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        forged = forge_audio(
            clip, 16_000, span, method, recording=own, others=(other,), fade_samples=160, strength=strength, rng=rng
        )
        spectra = [
            np.log10(np.abs(np.fft.rfft(sound[8000:24_000].reshape(-1, 800), axis=1))[:, 5:] + 1e-3)
            for sound in (clip, forged)
        ]
        changes.append(np.abs(spectra[1] - spectra[0]).mean())
    return float(np.mean(changes))


@pytest.mark.parametrize("method", [name for name in AUDIO_METHODS if not name.startswith("splice")])
def test_stronger_edits_of_sound_change_more(method: AudioMethod) -> None:
    own, other = draw_recording(0, 4.0, seed=1), draw_recording(1, 4.0, seed=1)
    weak, strong = (mean_change_of_sound(own, other, method, strength) for strength in (0.5, 1.5))
    assert weak < strong


@pytest.mark.parametrize("method", ["resample", "blend_own", "blend_other"])
def test_stronger_edits_of_pictures_change_more(method: VisualMethod) -> None:
    own, other = draw_recording(0, 4.0, seed=1), draw_recording(1, 4.0, seed=1)
    clip = np.asarray(own.frames[20:60])
    changes = []
    for strength in (0.5, 1.5):
        forged = [
            forge_frames(
                clip,
                20,
                (10, 20),
                method,
                recording=own,
                others=(other,),
                fade_frames=1,
                strength=strength,
                rng=np.random.default_rng(seed),
            )
            for seed in range(3)
        ]
        changes.append(np.mean([np.abs(each[10:20].astype(float) - clip[10:20]).mean() for each in forged]))
    assert changes[0] < changes[1]


def test_longer_fades_mix_more_frames() -> None:
    own = constant(0.1, 60, "a")
    clip = np.asarray(own.frames[10:40])
    forged = [
        forge_frames(
            clip, 10, (10, 22), "time_shift", recording=own, others=(), fade_frames=k, rng=np.random.default_rng(0)
        )[10:22, 112, 112, 0].astype(float)
        for k in (0, 2)
    ]
    genuine = np.arange(20, 32)
    share = (forged[1] - genuine) / (forged[0] - genuine)
    np.testing.assert_allclose(share[:3], [1 / 3, 2 / 3, 1], atol=0.06)
    np.testing.assert_allclose(share[-3:], [1, 2 / 3, 1 / 3], atol=0.06)
