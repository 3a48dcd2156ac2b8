"""Watching arrays grow: features as of the whole, segments as the finished clip's, and little kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.encoders.growing import growing_track
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.localizer import Localizer
from iamsb_core.manifest import Modality
from iamsb_core.media.clip import DecodedClip, MediaProbe
from iamsb_core.media.live import LivePiece
from iamsb_core.report.evidence import Thresholds
from iamsb_core.timeline import TimeGrid
from iamsb_core.watching import OfflineWatcher, PromptWatcher, SettledSegment, Watcher

PROBE = MediaProbe(
    sha256="0" * 64,
    size_bytes=1,
    duration_seconds=1.0,
    container="matroska",
    num_video_streams=1,
    num_audio_streams=1,
    video_codec="h264",
    width=224,
    height=224,
    rotation_degrees=0,
    num_video_frames=25,
    average_fps=25.0,
    variable_frame_rate=False,
    video_start_seconds=0.0,
    audio_codec="aac",
    sample_rate_hz=16000,
    num_channels=1,
    audio_start_seconds=0.0,
)


def clip(seconds: float, *, audio: bool, picture: bool) -> DecodedClip:
    """A moving pattern and a warbling tone, each changing now and then."""
    rng = np.random.default_rng(0)
    grid = TimeGrid.covering(seconds, 0.04)
    small = rng.integers(0, 255, (max(1, grid.num_cells // 20) + 1, 28, 28, 3), dtype=np.uint8)
    frames = np.empty((grid.num_cells, 224, 224, 3), np.uint8)
    for cell in range(grid.num_cells):
        frames[cell] = np.roll(small[cell // 20], cell % 7, axis=0).repeat(8, axis=0).repeat(8, axis=1)
    time = np.arange(round(seconds * 16000)) / 16000
    sound = 0.3 * np.sin(2 * np.pi * (200 + 40 * np.floor(time)) * time) + 0.02 * rng.normal(size=len(time))
    return DecodedClip(
        probe=PROBE,
        duration_seconds=seconds,
        waveform=sound.astype(np.float32) if audio else None,
        frames=frames if picture else None,
        frame_boxes=np.zeros((grid.num_cells, 4), np.float32) if picture else None,
        face_found=np.ones(grid.num_cells, np.bool_) if picture else None,
        frame_grid=grid if picture else None,
        reader="pyav",
    )


def pieces(whole: DecodedClip, num_cells: int) -> Iterator[LivePiece]:
    """The clip as a decoder hands it over."""
    frames = np.zeros((0, 224, 224, 3), np.uint8) if whole.frames is None else whole.frames
    samples = np.zeros(0, np.float32) if whole.waveform is None else whole.waveform
    for first in range(0, TimeGrid.covering(whole.duration_seconds, 0.04).num_cells, num_cells):
        cells = slice(first, first + num_cells)
        yield LivePiece(
            has_video=whole.frames is not None,
            has_audio=whole.waveform is not None,
            frames=frames[cells],
            face_found=np.ones(len(frames[cells]), np.bool_),
            samples=samples[first * 640 : cells.stop * 640],
            arrivals=((cells.stop * 0.04, 0.0),),
            behind_seconds=0.0,
        )


def watched(watcher: Watcher, whole: DecodedClip, num_cells: int) -> list[SettledSegment]:
    found = [segment for piece in pieces(whole, num_cells) for segment in watcher.push(piece)]
    return found + list(watcher.finish(whole.duration_seconds))


@pytest.fixture(scope="module")
def localizer(untrained_model: Path) -> Localizer:
    """Shows everything: the model was never trained. Its windows are 8 s long."""
    return Localizer.load(untrained_model, device="cpu", thresholds=Thresholds(display=0.0))


@pytest.mark.parametrize("modality", [Modality.AUDIO, Modality.VISUAL])
def test_features_of_a_grown_clip_are_those_of_the_whole(modality: Modality):
    encoder = load_encoder(encoder_specs("handcrafted")[modality is Modality.VISUAL])
    whole = clip(5.3, audio=True, picture=True)
    (wanted,) = encoder.encode([whole])
    track = growing_track(encoder)
    for piece in pieces(whole, 9):
        track.push(piece.samples if modality is Modality.AUDIO else piece.frames)
    track.finish(wanted.main.grid.num_cells)
    found = track.track(slice(0, track.num_cells))
    np.testing.assert_allclose(found.main.values, wanted.main.values, atol=0.02, rtol=2e-3)  # half precision
    assert (found.fine is None) == (wanted.fine is None)
    if found.fine is not None:
        assert found.fine.grid == wanted.fine.grid
        np.testing.assert_allclose(found.fine.values, wanted.fine.values, atol=0.02, rtol=2e-3)


def test_as_offline_is_offline(localizer: Localizer):
    """Pictures alone: the sound's spread is of the whole clip, which nobody knows before its end."""
    whole = clip(19.0, audio=False, picture=True)
    wanted = localizer.examine(Path("a.mkv"), whole).report.lanes
    watcher = OfflineWatcher(localizer)
    found = watched(watcher, whole, 50)
    for name in ("visual", "fused"):
        rows = sorted((each.start_seconds, each.end_seconds, each.score) for each in found if each.stream == name)
        lane = wanted[name]
        assert lane is not None
        assert len(lane.segments) > 1
        offline = sorted((each.start_seconds, each.end_seconds, each.score) for each in lane.segments)
        np.testing.assert_allclose(rows, offline, atol=2e-3)


def test_a_clip_within_a_window_is_offline_to_the_end_with_sound(localizer: Localizer):
    whole = clip(6.2, audio=True, picture=True)
    wanted = localizer.examine(Path("a.mkv"), whole).report.lanes["audio"]
    found = watched(OfflineWatcher(localizer), whole, 50)
    assert wanted is not None
    rows = sorted((each.start_seconds, each.end_seconds, each.score) for each in found if each.stream == "audio")
    offline = sorted((each.start_seconds, each.end_seconds, each.score) for each in wanted.segments)
    np.testing.assert_allclose(rows, offline, atol=2e-3)


def test_prompt_watching_keeps_a_window_and_its_surroundings(localizer: Localizer):
    watcher, kept, ends = PromptWatcher(localizer, delay_seconds=3.0), [], []
    whole = clip(30.0, audio=True, picture=False)
    for piece in pieces(whole, 15):
        settled = list(watcher.push(piece))
        ends += [watcher.ready_seconds - segment.end_seconds for segment in settled]
        kept.append(watcher.num_kept)
    assert len(ends) > 3
    assert min(ends) >= 1.4 - 0.01  # the look-ahead
    assert max(ends) <= 1.4 + 0.6 + 1.0 + 0.6  # a step, what may come late, and a piece
    assert max(kept) <= (8.0 + 10.0 + 2 * 0.6) / 0.02 + 2
    assert all(segment.end_seconds <= 30.0 for segment in watcher.finish(30.0))


def test_a_delay_that_cannot_be_held_is_refused(localizer: Localizer):
    with pytest.raises(ValueError, match=r"allow 2 s or more"):
        PromptWatcher(localizer, delay_seconds=1.0)
    assert list(PromptWatcher(localizer, delay_seconds=2.0).finish(0.0)) == []
