"""What is unusual about a file: sound and picture checks by hand, warnings, and what real files say."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.media import face
from iamsb_core.media.clip import SAMPLE_RATE_HZ, FrameView
from iamsb_core.media.crop import view_cells
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.probe import probe
from iamsb_core.report.cells import cell_curves
from iamsb_core.report.media_warnings import media_warnings
from iamsb_core.report.picture_checks import cuts
from iamsb_core.report.sound_checks import bandwidth_hz, clipped_share
from iamsb_core.report.spectrogram import MOST_COLUMNS, NUM_ROWS, spectrogram

case = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))
make_clip, make_report = case["make_clip"], case["make_report"]


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    t = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def noise(seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * SAMPLE_RATE_HZ)).astype(np.float32)


def test_the_band_of_sounds_that_are_known() -> None:
    assert bandwidth_hz(noise()) == 8000.0
    telephone = np.fft.rfft(noise())
    telephone[4000:] = 0  # one bin is one hertz
    assert bandwidth_hz(np.fft.irfft(telephone).astype(np.float32)) == pytest.approx(4000, abs=200)
    assert bandwidth_hz(tone(1000)) == pytest.approx(1000, abs=200)
    assert bandwidth_hz(np.zeros(16_000, dtype=np.float32)) is None
    assert bandwidth_hz(noise()[:100]) is None
    assert bandwidth_hz(1e-6 * noise()) is None


def test_clipping_by_hand() -> None:
    waveform = np.array([0.0, 1.0, -1.0, 0.9], dtype=np.float32)
    assert clipped_share(waveform) == 0.5
    assert clipped_share(waveform[:0]) == 0.0


def shots(*levels: int, cells: int = 30) -> np.ndarray:
    """Shots of one grey each, with a little grain."""
    grain = np.random.default_rng(0).integers(0, 3, (cells * len(levels), 16, 16, 3))
    return (np.repeat(levels, cells)[:, None, None, None] + grain).astype(np.uint8)


def test_cuts_by_hand() -> None:
    assert cuts(shots(50, 120, 60)).tolist() == [30, 60]
    assert cuts(shots(50, 65)).tolist() == []  # fifteen levels
    assert cuts(shots(50)[:1]).tolist() == []
    flicker = shots(*([20, 200] * 20), cells=1)  # every frame differs as much: no cut
    assert cuts(flicker).tolist() == []
    boxes = np.zeros((90, 4), dtype=np.float32)
    boxes[30:] = 5  # the crop moved with the first cut
    assert cuts(shots(50, 120, 60), boxes).tolist() == [60]


def test_the_spectrogram_shows_a_tone_where_it_is() -> None:
    waveform = np.concatenate([np.zeros(SAMPLE_RATE_HZ, dtype=np.float32), tone(3000)])
    shown = spectrogram(waveform)
    assert shown.shape == (NUM_ROWS, 250)
    rows = np.flatnonzero(shown[:, 200] > 0.7)
    # rows of 125 Hz from 8 kHz down: 3 kHz lies in row 63 - 23 or the one beside it
    assert set(rows) <= {39, 40, 41}
    assert shown[:, :120].max() < 0.01
    assert 0.0 <= shown.min() <= shown.max() <= 1.0


@pytest.mark.parametrize("length", [0, 1, 100, 5_000, 3_000_000])
def test_a_spectrogram_of_any_length(length: int) -> None:
    shown = spectrogram(np.resize(noise(), length).astype(np.float32))
    assert shown.shape[0] == NUM_ROWS
    assert 1 <= shown.shape[1] <= MOST_COLUMNS


#  a grid of 20 ms; cells of the system of 40 ms: .5 .2 | a window from .04 on says .1 .9
def test_cells_of_windows_are_put_together_by_hand() -> None:
    cells = {"audio": {"hop_seconds": 0.04, "scores": [0.5, 0.2]}}
    late = {"audio": {"hop_seconds": 0.04, "scores": [0.1, 0.9]}}
    windows = [
        {"start_seconds": 0.0, "evidence": {"cells": cells, "step_budget": 3}},
        {"start_seconds": 0.04, "evidence": {"cells": late}},
    ]
    curves, rest = cell_curves({"windows": windows, "other": 1}, 0.12)
    assert curves["audio"].hop_seconds == 0.02
    assert curves["audio"].scores == (0.5, 0.5, 0.2, 0.2, 0.9, 0.9)
    assert set(curves) == {"audio"}
    assert rest["windows"] == [
        {"start_seconds": 0.0, "evidence": {"step_budget": 3}},
        {"start_seconds": 0.04, "evidence": {}},
    ]


def test_cells_of_a_clip_leave_its_evidence() -> None:
    cells = {"audio": {"hop_seconds": 0.02, "scores": [0.1, 0.2]}, "visual": {"hop_seconds": 0.04, "scores": [0.3]}}
    curves, rest = cell_curves({"cells": cells, "matches": []}, 0.04)
    assert curves["audio"].scores == (0.1, 0.2)
    assert curves["visual"].scores == (0.3, 0.3)
    assert rest == {"matches": []}
    assert cell_curves({"cells": None, "windows": 3}, 1.0) == ({}, {"windows": 3})


def replaced(**changes):
    return dataclasses.replace(make_clip(), **changes)


def unseen(share: float) -> np.ndarray:
    found = np.ones(200, dtype=np.bool_)
    found[: round(200 * share)] = False
    return found


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        (make_clip(written_by="Lavf58.29.100"), "not as a camera wrote it: FFmpeg, or a program built on it wrote"),
        (make_clip(written_by="ISO Media file produced by Google Inc.; Lavf60"), "more than one program: FFmpeg"),
        (make_clip(video_bits_per_second=10_000.0), "only 10 kbit per second for its size"),
        (make_clip(audio_bits_per_second=8_000.0), "The sound has only 8 kbit per second"),
        (replaced(waveform=tone(300, 8.0)), "nothing above 0.5 kHz"),
        (replaced(waveform=np.clip(20 * tone(300, 8.0) + np.resize(noise(), 128_000), -1, 1)), "The sound is clipped"),
        (replaced(frames=np.resize(shots(30, 200, cells=100), (200, 16, 16, 3))), "The picture is cut at 4.00 s"),
        (replaced(face_found=unseen(0.2)), "No face was found for 20% of the time"),
        (make_clip(width=8, height=8), "only 8 x 8 pixels large"),
    ],
)
def test_warnings_say_what_is_unusual(clip, said) -> None:
    found = media_warnings(clip)
    assert len(found) == 1
    assert said in found[0]


def test_tags_cannot_pass_for_something_else() -> None:
    (said,) = media_warnings(make_clip(written_by="Lavf\u202e<script>\n"))
    assert "\u202e" not in said
    assert "\n" not in said


def test_a_camera_and_a_whole_file_give_no_warning() -> None:
    camera = make_clip(written_by="Apple; iPhone 12", video_bits_per_second=2e6, audio_bits_per_second=96_000.0)
    assert media_warnings(camera) == ()


@pytest.mark.media
def test_what_real_files_say(media_folder) -> None:
    wanted = {
        "nasty/mkv_duration_tag_only.mkv": ["more than one program", "cut at 8.08 s"],
        "nasty/two_video_rotated90.mp4": ["nothing above 4.9 kHz"],
        "nasty/one_by_one_pixel_1fps.mp4": ["only 1 x 1 pixels"],
        "real/avobjects_debate.mp4": ["The sound ends 0.12 s before the picture"],
    }
    with MediaDecoder() as decoder:
        for name, expected in wanted.items():
            said = " ".join(media_warnings(decoder.decode(media_folder / name, FrameView(), True)))
            for each in expected:
                assert each in said, (name, said)


@pytest.mark.media
def test_rates_and_writers_of_real_files(media_folder) -> None:
    found = probe(media_folder / "real" / "vretalk_face2.mp4")
    assert found.video_bits_per_second == pytest.approx(624_201)
    assert found.audio_bits_per_second == pytest.approx(131_799)
    assert found.written_by == "Lavf58.29.100"
    # MPEG-1 marks a varying rate by one that is far above what the file holds
    assert probe(media_folder / "real" / "grid_bbaf2n.mpg").video_bits_per_second is None


def test_several_faces_count_where_most_looks_show_them(monkeypatch) -> None:
    one, other = face.Square(50, 50, 30), face.Square(150, 50, 30)
    pictures = [np.full((100, 200, 3), number, dtype=np.uint8) for number in range(4)]
    for shown, number in (([2, 2, 1, 2], 2), ([2, 1, 1, 1], 1), ([0, 0, 0, 0], 0)):
        monkeypatch.setattr(
            face, "find_faces", lambda look, like=None, shown=shown: [one, other][: shown[look[0, 0, 0]]]
        )
        monkeypatch.setattr(face, "find_small_faces", lambda look: [])
        steady = face.SteadyFace()
        steady.follow(pictures)
        assert steady.num_faces == number


@pytest.mark.media
def test_two_people_side_by_side_are_seen(media_folder) -> None:
    with MediaDecoder() as decoder:
        clips = [
            decoder.decode(media_folder / "real" / name, FrameView(), False)
            for name in ("may_5s.mp4", "vretalk_face5.mp4")
        ]
    both = np.concatenate([clip.frames[:50] for clip in clips], axis=2)
    (cells,) = view_cells(list(both), FrameView())
    assert cells.num_faces == 2
    (cells,) = view_cells(list(clips[0].frames[:50]), FrameView())
    assert cells.num_faces == 1
