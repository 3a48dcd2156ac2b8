"""Writes a clip as every clip is written: H.264 and AAC in MP4, both streams from t = 0."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from iamsb_core.forgery.config import FRAME_RATE_HZ, SIZE_PIXELS, EncodingConfig
from iamsb_core.media.clip import SAMPLE_RATE_HZ

_AAC_FRAME = 1024


def encode_clip(
    path: Path, frames: Iterable[NDArray[np.uint8]], waveform: NDArray[np.float32], config: EncodingConfig
) -> None:
    """Write frames of (224, 224, 3) RGB at 25 Hz and (m,) samples at 16 kHz; the file appears whole or not at all.

    frames: looked at once, one at a time, so that they need not be in memory together.

    The same input gives the same bytes: one encoder thread, no date, macroblock-tree arithmetic that is the same on
    every processor (x264's fast one was seen to vary from run to run). No B-frames, so that every picture's time is
    its place; a key frame exactly every gop_frames. The AAC encoder's 1024 samples of priming are cut away by the edit
    list that the MP4 carries, which decoders honour: sample k is heard at k / 16000 s.
    """
    partial = path.with_name(path.name + ".partial")
    with av.open(
        str(partial), "w", format="mp4", options={"fflags": "+bitexact", "max_interleave_delta": "0"}
    ) as container:
        video = _video_stream(container, config)
        audio = container.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", bit_rate=config.audio_bit_rate)
        for packets in (_video_packets(video, frames), _audio_packets(audio, waveform)):
            for packet in packets:
                container.mux(packet)
    partial.replace(path)


def _video_stream(container: OutputContainer, config: EncodingConfig) -> VideoStream:
    gop = f"keyint={config.gop_frames}:min-keyint={config.gop_frames}:scenecut=0"
    options = {
        "crf": str(config.crf),
        "preset": config.preset,
        "x264-params": f"{gop}:bframes=0:threads=1:lookahead-threads=1:cpu-independent=1",
    }
    stream = container.add_stream("libx264", rate=FRAME_RATE_HZ, options=options)
    stream.width, stream.height, stream.pix_fmt = SIZE_PIXELS, SIZE_PIXELS, "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = Fraction(1, FRAME_RATE_HZ)
    return stream


def _video_packets(stream: VideoStream, frames: Iterable[NDArray[np.uint8]]) -> Iterable[Any]:
    for index, picture in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE_HZ)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _audio_packets(stream: AudioStream, waveform: NDArray[np.float32]) -> Iterable[Any]:
    for first in range(0, len(waveform), _AAC_FRAME):
        samples = np.ascontiguousarray(waveform[None, first : first + _AAC_FRAME], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, first, Fraction(1, SAMPLE_RATE_HZ)
        yield from stream.encode(frame)
    yield from stream.encode(None)
