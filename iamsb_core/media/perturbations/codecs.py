"""Real codecs as perturbations: encoded and decoded again in memory, with nothing moved in time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from iamsb_core.media.clip import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]

_FRAME_RATE_HZ = 25
"""what the rate control is told; H.264 at a constant quality hardly looks at it"""
_AAC_FRAME = 1024
_CALIBRATION_SAMPLES = 1 << 14


def h264_frames(frames: Iterable[NDArray[np.uint8]], *, crf: int) -> Iterator[NDArray[np.uint8]]:
    """(height, width, 3) RGB frames through x264 and back, one for one and in order.

    No B-frames, one thread, and no macroblock tree (which reads memory that was never written, and so makes other bytes
    of the same frames now and then): the same frames give the same bytes.
    """
    encoder: Any = None
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    size = (0, 0)
    for index, picture in enumerate(frames):
        if encoder is None:
            size = picture.shape[:2]
            encoder = _h264_encoder(size, crf)
        frame = VideoFrame.from_ndarray(_even(picture), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, _FRAME_RATE_HZ)
        yield from _decoded_pictures(decoder, encoder.encode(frame), size)
    if encoder is not None:
        yield from _decoded_pictures(decoder, [*encoder.encode(None), None], size)


def _h264_encoder(size: tuple[int, ...], crf: int) -> Any:
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = (-(-side // 2) * 2 for side in size)
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, _FRAME_RATE_HZ), Fraction(_FRAME_RATE_HZ)
    encoder.thread_count = 1
    encoder.options = {
        "crf": str(crf),
        "preset": "fast",
        "x264-params": "bframes=0:threads=1:lookahead-threads=1:mbtree=0:rc-lookahead=10:keyint=250",
    }
    return encoder


def _decoded_pictures(decoder: Any, packets: Iterable[Any], size: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    for packet in packets:
        for frame in decoder.decode(packet):
            picture: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
            yield np.ascontiguousarray(picture[: size[0], : size[1]])


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """4:2:0 wants an even height and width: the last row or column is repeated."""
    height, width = picture.shape[:2]
    return np.ascontiguousarray(np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def aac_samples(pieces: Iterable[Samples], num_samples: int, *, bit_rate: int) -> Iterator[Samples]:
    """A mono sound at 16 kHz, in pieces of any length, through AAC and back: num_samples, none of them moved.

    The encoder puts samples of priming before the sound; as many as were measured of it are cut away.
    """
    skip, left = _aac_delay_samples(bit_rate), num_samples
    for piece in _aac_round_trip(pieces, bit_rate):
        kept = piece[skip : skip + left]
        skip, left = max(0, skip - len(piece)), left - len(kept)
        if len(kept):
            yield kept
    if left:
        yield np.zeros(left, dtype=np.float32)


@functools.cache
def _aac_delay_samples(bit_rate: int) -> int:
    """How much later a sound comes out of codec and decoder of this machine: measured, not believed."""
    sound = np.random.default_rng(0).standard_normal(_CALIBRATION_SAMPLES).astype(np.float32) * np.float32(0.1)
    heard = np.concatenate([*_aac_round_trip([sound], bit_rate)])
    size = 4 * _CALIBRATION_SAMPLES
    spectra = np.fft.rfft(heard, size) * np.fft.rfft(sound, size).conj()
    lag = int(np.argmax(np.fft.irfft(spectra, size)))
    assert lag < size // 2, "a decoder cannot play a sound before it was there"
    return lag


def _aac_round_trip(pieces: Iterable[Samples], bit_rate: int) -> Iterator[Samples]:
    encoder: Any = av.CodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE_HZ, "mono", "fltp"
    encoder.bit_rate, encoder.time_base = bit_rate, Fraction(1, SAMPLE_RATE_HZ)
    encoder.open()
    decoder: Any = av.CodecContext.create("aac", "r")
    decoder.extradata, decoder.sample_rate, decoder.layout = encoder.extradata, SAMPLE_RATE_HZ, "mono"
    packets = itertools.chain.from_iterable(encoder.encode(frame) for frame in _aac_frames(pieces))
    for packet in itertools.chain(packets, [None]):
        for frame in decoder.decode(packet):
            yield np.asarray(frame.to_ndarray()[0], dtype=np.float32)


def _aac_frames(pieces: Iterable[Samples]) -> Iterator[AudioFrame | None]:
    """The sound in the encoder's frames, and the sign that it is over."""
    first, held = 0, np.zeros(0, dtype=np.float32)
    for piece in itertools.chain(pieces, [None]):
        held = held if piece is None else np.concatenate([held, piece])
        end = len(held) if piece is None else len(held) // _AAC_FRAME * _AAC_FRAME
        for start in range(0, end, _AAC_FRAME):
            samples = np.ascontiguousarray(held[None, start : min(start + _AAC_FRAME, end)])
            frame = AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, first, Fraction(1, SAMPLE_RATE_HZ)
            first += samples.shape[1]
            yield frame
        held = held[end:]
    yield None
