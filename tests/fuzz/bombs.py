"""Bombs: files of a few kilobytes that promise, or hold, pictures, hours or channels without end."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

Bomb = tuple[bytes, str]

EXACT = {"fflags": "+bitexact"}
"""for FFmpeg's writers: no dates, no random numbers"""
_SIDES = ((60_000, 60_000), (16_000, 16_000), (65_535, 4_000), (12_000, 12_000), (8_000, 8_000))
_SMALL = 64


def png_bomb(rng: np.random.Generator) -> Bomb:
    """PNG pictures of zeros, which shrink a thousandfold, in a file whose header says 64 x 64."""
    width, height = _SIDES[int(rng.integers(len(_SIDES)))]
    return _wrapped("mov", "png", [_png(width, height)], [0.0]), f"PNG of {width} x {height}"


def later_png_bomb(rng: np.random.Generator) -> Bomb:
    """As above, but only the third picture is large."""
    width, height = _SIDES[int(rng.integers(len(_SIDES)))]
    small = _png(_SMALL, _SMALL)
    packets = [small, small, _png(width, height), small]
    return _wrapped("mov", "png", packets, [0.0, 0.04, 0.08, 0.12]), f"third PNG of {width} x {height}"


def jpeg_bomb(rng: np.random.Generator) -> Bomb:
    """JPEG pictures whose frame header says more than there is."""
    data = _encoded("mjpeg", "avi", 4)
    width, height = _SIDES[int(rng.integers(len(_SIDES)))]
    first = 0
    while (first := data.find(b"\xff\xc0\x00\x11", first)) >= 0:
        data = data[: first + 5] + struct.pack(">HH", height, width) + data[first + 9 :]
        first += 9
    return data, f"JPEG of {width} x {height}"


def vp8_bomb(rng: np.random.Generator) -> Bomb:
    """Key frames of VP8 that say 16,383 x 16,383."""
    data, start = _encoded("libvpx", "webm", 4), b"\x9d\x01\x2a"
    side = int(rng.choice([16_383, 12_000, 6_000]))
    first = 0
    while (first := data.find(start, first)) >= 0:
        data = data[: first + 3] + struct.pack("<HH", side, side) + data[first + 7 :]
        first += 7
    return data, f"VP8 of {side} x {side}"


def h264_bomb(rng: np.random.Generator) -> Bomb:
    """A second sequence parameter set, of 16,000 x 16,000, before every picture."""
    side = int(rng.choice([16_000, 12_000, 8_000]))
    data = _encoded("libx264", "h264", 6)
    nal = b"\0\0\0\1" + _sps(side // 16, side // 16)
    parts = data.split(b"\0\0\0\1")
    return nal.join(b"\0\0\0\1" + part for part in parts if part), f"H.264 of {side} x {side}"


def far_picture(rng: np.random.Generator) -> Bomb:
    """Two pictures, a thousand hours or two minutes apart."""
    seconds = float(rng.choice([3_600_000.0, 86_400.0, 7_000.0, 100.0]))
    small = _png(_SMALL, _SMALL)
    return _wrapped("mov", "png", [small, small], [0.0, seconds]), f"a picture after {seconds:.0f} s"


def wave_bomb(rng: np.random.Generator) -> Bomb:
    """Sound of a strange rate, of very many channels, or of far more bytes than there are."""
    rate = int(rng.choice([0, 1, 7, 8_000, 0x7FFFFFFF, 0xFFFFFFFF]))
    channels = int(rng.choice([0, 1, 2, 255, 65_535]))
    bits = int(rng.choice([1, 8, 16, 64]))
    size = int(rng.choice([40_000, 0xFFFFFFFF, 0x7FFFFFFF]))
    align = min(0xFFFF, max(1, channels * bits // 8))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", size, b"WAVE", b"fmt ", 16, 1, channels, rate, rate, align, bits, b"data", size
    )
    return head + rng.bytes(40_000), f"WAVE of {rate} Hz, {channels} channels, {bits} bits"


def deep_boxes(rng: np.random.Generator) -> Bomb:
    """MP4 boxes inside one another, thousands deep."""
    depth = int(rng.choice([20, 500, 20_000]))
    kind = (b"moov", b"trak", b"udta")[int(rng.integers(3))]
    size = 8 * depth
    inside = b"".join(struct.pack(">I4s", size - 8 * level, kind) for level in range(depth))
    return struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0) + inside, f"{kind.decode()} {depth} deep"


def zipped_header(rng: np.random.Generator) -> Bomb:
    """QuickTime's compressed header, which unpacks to far more than it is."""
    size = int(rng.choice([1 << 20, 64 << 20, 0x7FFFFFFF]))
    packed = _zeros(min(size, 64 << 20))
    dcom = struct.pack(">I4s4s", 12, b"dcom", b"zlib")
    cmvd = struct.pack(">I4sI", 12 + len(packed), b"cmvd", size) + packed
    cmov = struct.pack(">I4s", 8 + len(dcom) + len(cmvd), b"cmov") + dcom + cmvd
    moov = struct.pack(">I4s", 8 + len(cmov), b"moov") + cmov
    return struct.pack(">I4s4sI", 16, b"ftyp", b"qt  ", 0) + moov, f"a header that unpacks to {size} bytes"


def endless_table(rng: np.random.Generator) -> Bomb:
    """An MP4 whose tables promise 2^26 to 2^32 samples of the same size, which need no bytes to be said."""
    data = _encoded("mpeg4", "mp4", 4)
    count = int(rng.choice([1 << 26, 1 << 28, 0x7FFFFFFF, 0xFFFFFFFF]))
    stsz, stts, stsc = data.find(b"stsz"), data.find(b"stts"), data.find(b"stsc")
    changed = bytearray(data)
    changed[stsz + 8 : stsz + 16] = struct.pack(">II", int(rng.choice([1, 8])), count)
    changed[stts + 12 : stts + 16] = struct.pack(">I", count)
    changed[stsc + 16 : stsc + 20] = struct.pack(">I", count)
    return bytes(changed), f"{count} samples declared"


BOMBS: dict[str, Callable[[np.random.Generator], Bomb]] = {
    "png.mov": png_bomb,
    "later-png.mov": later_png_bomb,
    "jpeg.avi": jpeg_bomb,
    "vp8.webm": vp8_bomb,
    "sps.h264": h264_bomb,
    "far-picture.mov": far_picture,
    "wave.wav": wave_bomb,
    "deep.mp4": deep_boxes,
    "zipped.mov": zipped_header,
    "endless.mp4": endless_table,
}


@functools.cache
def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size))


@functools.cache
def _png(width: int, height: int) -> bytes:
    """A grey picture of zeros; of one that is too large for any decoder, only the first rows."""
    rows = min(height, (256 << 20) // (width + 1))
    packer = zlib.compressobj()
    row = bytes(width + 1)
    packed = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _wrapped(container: str, codec: str, packets: list[bytes], seconds: list[float]) -> bytes:
    """Coded pictures in a file whose header says 64 x 64."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=container, options=EXACT) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = _SMALL, _SMALL, "gray"
        out.start_encoding()
        for data, at in zip(packets, seconds, strict=True):
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 1000), True
            packet.pts = packet.dts = int(at * 1000)
            out.mux(packet)
    return memory.getvalue()


@functools.cache
def _encoded(codec: str, container: str, num_pictures: int) -> bytes:
    """A few pictures of noise."""
    memory, rng = io.BytesIO(), np.random.default_rng(0)
    with av.open(memory, "w", format=container, options=EXACT) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height = _SMALL, _SMALL
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(num_pictures):
            pixels = rng.integers(0, 256, (_SMALL, _SMALL, 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))
    return memory.getvalue()


def _sps(width_units: int, height_units: int) -> bytes:
    """A sequence parameter set of the baseline profile (ITU-T H.264, 7.3.2.1), level 6.2."""
    bits = "01000010" + "11000000" + format(62, "08b")
    for value in (0, 0, 0, 0, 1):  # id, frame number bits, order type, order bits, reference frames
        bits += _exp_golomb(value)
    bits += "0" + _exp_golomb(width_units - 1) + _exp_golomb(height_units - 1) + "1100"  # frames only, no crop, no VUI
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return b"\x67" + payload.replace(b"\0\0\1", b"\0\0\3\1").replace(b"\0\0\0", b"\0\0\3\0")


def _exp_golomb(value: int) -> str:
    digits = format(value + 1, "b")
    return "0" * (len(digits) - 1) + digits
