"""Probing: what a container says, and why a file is refused."""

from __future__ import annotations

import hashlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from iamsb_core.media.clip import DecodeError
from iamsb_core.media.packets import StreamTimes
from iamsb_core.media.probe import probe, scan


def write_clip(path: Path, *, num_pictures: int = 50, num_samples: int = 0, fps: int = 25) -> Path:
    """Noise pictures of 64 x 48 and, where asked for, silence at 16 kHz."""
    noise = np.random.default_rng(0).integers(0, 256, (num_pictures, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16_000, layout="mono") if num_samples else None
        for pixels in noise:
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, num_samples), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(DecodeError) as caught:
        probe(path)
    assert str(path) in str(caught.value)
    return caught.value.kind


def test_a_probe_by_hand(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", num_pictures=50, num_samples=40_000)
    found = probe(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.size_bytes == path.stat().st_size
    assert found.container == "matroska,webm"
    assert (found.num_video_streams, found.num_audio_streams) == (1, 1)
    assert (found.video_codec, found.audio_codec) == ("h264", "pcm_s16le")
    assert (found.width, found.height, found.rotation_degrees) == (64, 48, 0)
    assert found.num_video_frames == 50
    assert found.average_fps == pytest.approx(25.0, rel=2e-3)
    assert found.duration_seconds == pytest.approx(2.5)  # the sound lasts longer: 40,000 / 16,000
    assert (found.sample_rate_hz, found.num_channels) == (16_000, 1)
    assert not found.variable_frame_rate


def test_what_is_no_video_is_refused_by_name(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing.mp4") == "missing"
    assert refusal(tmp_path) == "not-media"
    os.mkfifo(tmp_path / "pipe.mp4")
    assert refusal(tmp_path / "pipe.mp4") == "not-media"  # and not opened: it would hang
    for name, content, kind in (
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"no video at all" * 100, "not-media"),
        ("lfs.mp4", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "pointer-file"),
        ("broken.mkv", b"\x1aE\xdf\xa3" + bytes(500), "damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path / name) == kind


def test_a_playlist_may_not_name_other_files(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n")
    (tmp_path / "join.mp4").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
    assert refusal(tmp_path / "list.mp4") == refusal(tmp_path / "join.mp4") == "not-media"


def test_names_that_look_like_addresses_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4").rename("concat:clip.mp4")
    assert probe(Path("concat:clip.mp4")).num_video_frames == 50


def test_a_file_cut_before_its_index_is_truncated(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    path.write_bytes(path.read_bytes()[:-4000])  # the index (moov) stands at the end
    assert refusal(path) == "truncated"


def test_a_file_cut_behind_its_index_lasts_as_long_as_what_is_there(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", num_pictures=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = scan(path)
    assert 30 < found.probe.num_video_frames < 70
    assert found.probe.duration_seconds == pytest.approx(found.probe.num_video_frames / 25, abs=0.02)
    assert any("cut short: the header promises 4.00 s" in warning for warning in found.warnings)


def test_too_large_pictures_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    assert scan(path, max_pixels=64 * 48).probe.width == 64
    with pytest.raises(DecodeError, match="64 x 48"):
        scan(path, max_pixels=64 * 48 - 1)


def test_edit_lists_hide_packets(media_folder: Path) -> None:
    hidden = probe(media_folder / "nasty" / "vfr_pts_minus_1p8.mp4")
    assert hidden.num_video_frames == 209  # of 266 packets
    assert hidden.video_start_seconds == 0.0
    assert hidden.duration_seconds == pytest.approx(6.966667, abs=1e-5)
    assert probe(media_folder / "nasty" / "discard_first_keyframe.mp4").num_video_frames == 25  # of 30


def test_a_header_that_promises_too_much_is_not_believed(media_folder: Path) -> None:
    found = scan(media_folder / "nasty" / "truncated_mdat_silent_audio.mp4")
    assert found.probe.num_video_frames == 110
    assert found.probe.duration_seconds == pytest.approx(4.44)
    assert "the picture is cut short: the header promises 6.28 s, 4.44 s are there" in found.warnings


def test_starts_and_rotations_of_real_files(media_folder: Path) -> None:
    late = scan(media_folder / "nasty" / "starts_at_8p27s.mp4")
    assert late.probe.video_start_seconds == pytest.approx(8.333, abs=1e-3)
    assert late.origin_seconds == late.probe.audio_start_seconds == pytest.approx(8.266, abs=1e-3)
    assert probe(media_folder / "nasty" / "rotated90_3frames.mov").rotation_degrees == 90
    both = scan(media_folder / "nasty" / "two_video_rotated90.mp4")
    assert (both.probe.rotation_degrees, both.probe.width, both.probe.sample_rate_hz) == (270, 320, 8000)
    assert "the file has 2 picture streams; the first was used" in both.warnings
    assert both.first_picture is not None
    assert both.first_picture.shape == (320, 180, 3)


def test_an_unknown_coding_of_the_sound_leaves_the_picture(media_folder: Path) -> None:
    found = scan(media_folder / "nasty" / "ax_missing_stsd.mp4")
    assert (found.probe.num_audio_streams, found.probe.audio_codec, found.audio) == (1, None, None)
    assert isinstance(found.video, StreamTimes)
    assert any("sound cannot be decoded" in warning for warning in found.warnings)
