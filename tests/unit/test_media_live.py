"""Decoding what is being written: the same pictures and sound as of the finished file, from pipes and growing files."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from iamsb_core.media.clip import DecodedClip, DecodeError, FrameView
from iamsb_core.media.growing import GrowingSource
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.live import LiveEnd, LivePiece, follow

VIEW = FrameView(size_pixels=32, crop="centre")
END_SAMPLES = 64
"""where the sound breaks off, 4 ms: a finished file is silent behind its end, a growing one is resampled into it"""
CONTAINERS = {
    "clip.ts": ("mpegts", "mpeg4", "mp2", {}),
    "clip.mkv": ("matroska", "mpeg4", "aac", {}),
    "clip.webm": ("webm", "libvpx", "libopus", {}),
    "clip.mp4": ("mp4", "mpeg4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "clip.wav": ("wav", None, "pcm_s16le", {}),
}
SLOW = {"clip.mkv", "clip.wav"}


def media(name: str, seconds: float = 3.2) -> bytes:
    """A moving pattern with a tone."""
    form, picture, sound, options = CONTAINERS[name]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form, options=options) as container:
        video = None
        if picture is not None:
            video = container.add_stream(picture, rate=25, options={"g": "12"})
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(sound, rate=48000, layout="mono")
        size = audio.codec_context.frame_size or 960
        tone = (8000 * np.sin(np.arange(int(seconds * 48000)) * 0.05)).astype(np.int16)
        made = 0
        for index in range(round(seconds * 25)):
            if video is not None:
                pixels = np.full((48, 64, 3), index * 3 % 256, np.uint8)
                pixels[:, index % 64] = 255
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(video.encode(frame))
            while made + size <= (index + 1) * 1920:
                heard = av.AudioFrame.from_ndarray(tone[None, made : made + size], format="s16", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = 48000, made, Fraction(1, 48000)
                container.mux(audio.encode(heard))
                made += size
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    with MediaDecoder() as running:
        yield running


def decoded(decoder: MediaDecoder, data: bytes, path: Path) -> DecodedClip:
    path.write_bytes(data)
    return decoder.decode(path, VIEW)


def followed(source: str, **options: float) -> tuple[list[LivePiece], LiveEnd]:
    pieces: list[LivePiece] = []
    return pieces, follow(source, VIEW, pieces.append, **options)


def same(pieces: list[LivePiece], end: LiveEnd, whole: DecodedClip) -> None:
    assert end.duration_seconds == pytest.approx(whole.duration_seconds, abs=0.005)
    samples = np.concatenate([piece.samples for piece in pieces])
    assert whole.waveform is not None
    num = min(len(samples), len(whole.waveform)) - END_SAMPLES
    assert num >= len(whole.waveform) - 2 * END_SAMPLES
    np.testing.assert_allclose(samples[:num], whole.waveform[:num], atol=1e-6)
    if whole.frames is not None:
        frames = np.concatenate([piece.frames for piece in pieces])
        assert np.abs(frames.astype(int) - whole.frames).max() <= 2  # decord converts colours a little differently


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CONTAINERS])
def test_a_pipe_gives_what_the_finished_file_gives(name: str, decoder: MediaDecoder, tmp_path: Path):
    data, pipe = media(name), tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb") as file:
            for first in range(0, len(data), 5000):
                file.write(data[first : first + 5000])
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    pieces, end = followed(str(pipe), step_seconds=0.6)
    writer.join()
    same(pieces, end, decoded(decoder, data, tmp_path / name))
    assert all(len(piece.frames) <= 15 for piece in pieces)


def test_a_growing_file_is_followed_until_it_stops_growing(decoder: MediaDecoder, tmp_path: Path):
    data, path = media("clip.ts"), tmp_path / "clip.ts"
    seen: list[tuple[float, int]] = []
    path.write_bytes(data[: len(data) // 2])

    def write() -> None:
        while not seen:  # the first half was used before the second is written
            time.sleep(0.01)
        with path.open("ab") as file:
            file.write(data[len(data) // 2 :])

    writer = threading.Thread(target=write)
    writer.start()
    pieces: list[LivePiece] = []

    def use(piece: LivePiece) -> None:
        pieces.append(piece)
        seen.append((time.monotonic(), len(piece.frames)))

    end = follow(str(path), VIEW, use, idle_seconds=1.0, step_seconds=0.6)
    writer.join()
    same(pieces, end, decoded(decoder, data, tmp_path / "whole.ts"))


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\x10\0mdat" + bytes(64), "index-last", "fragmented MP4"),
        (b"once upon a time " * 100, "not-media", "cannot be read while it grows"),
        (b"", "empty", "before its first byte"),
    ],
)
def test_what_cannot_be_followed_is_said_in_a_sentence(content: bytes, kind: str, words: str, tmp_path: Path):
    path = tmp_path / "growing"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=words) as raised:
        followed(str(path), idle_seconds=0.1)
    assert raised.value.kind == kind


def test_a_missing_source_is_said(tmp_path: Path):
    with pytest.raises(DecodeError, match="start its writer first"):
        followed(str(tmp_path / "none.ts"))


def test_a_source_waits_for_its_writer():
    near, far = os.pipe()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, near)
        source = GrowingSource(near, "pipe", idle_seconds=0.1)
        begun = source.waited_at
        os.write(far, b"RIFF0000WAVE")
        assert source.read(4) == b"RIFF"
        assert source.waited_at == begun  # it was there
        assert source.read(100) == b"0000WAVE"
        threading.Timer(0.05, os.close, [far]).start()
        assert source.read(100) == b""
        assert source.waited_at > begun
