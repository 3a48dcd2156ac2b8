"""What a data card shows of a forged segment: spectrograms or frame strips, forged and genuine, from the clips."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from iamsb_core.forgery.config import FRAME_RATE_HZ, SIZE_PIXELS
from iamsb_core.forgery.spectral import stft
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.timeline import Segment

_CONTEXT_SECONDS = 0.4
_RANGE_DB = 70.0
_NUM_FRAMES = 9
_CONTEXT_FRAMES = 3
_FRAME_PIXELS = 112
_DIFFERENCE_GAIN = 4.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as a data URI."""

    uri: str
    seconds: float
    """where in the clip it stands, or (of a spectrogram) begins"""
    forged: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A line of pictures of one clip: one spectrogram, or a strip of frames."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class ExampleView:
    """A forged segment beside its genuine source, as the page shows it."""

    example: Mapping[str, Any]
    rows: tuple[Row, ...]
    marked_percent: tuple[float, float]
    """of a spectrogram's width: where the forged stretch starts, and how wide it is"""


def example_view(dataset: Path, example: Mapping[str, Any], decoder: MediaDecoder) -> ExampleView:
    """The example's pictures, from the encoded clips. Raises ValueError where a clip has not the stream."""
    segment = Segment(example["start"], example["end"])
    genuine, forged = (_decode(decoder, dataset / example[name], example["stream"]) for name in ("genuine", "file"))
    if example["stream"] == "visual":
        return ExampleView(example, _strips(genuine, forged, segment), (0.0, 0.0))
    start = max(0.0, segment.start - _CONTEXT_SECONDS)
    end = min(segment.end + _CONTEXT_SECONDS, genuine.duration_seconds)
    marked = (100 * (segment.start - start) / (end - start), 100 * segment.duration_seconds / (end - start))
    shown = slice(round(start * SAMPLE_RATE_HZ), round(end * SAMPLE_RATE_HZ))
    before, after = _sound(genuine)[shown], _sound(forged)[shown]
    loudest = float(np.abs(stft(before)).max())
    rows = tuple(
        Row(title, (Picture(_spectrogram(sound, loudest), start, title != "genuine"),))
        for title, sound in (("genuine", before), ("forged", after))
    )
    return ExampleView(example, rows, (round(marked[0], 3), round(marked[1], 3)))


def _decode(decoder: MediaDecoder, path: Path, stream: str) -> DecodedClip:
    view = FrameView(rate_hz=FRAME_RATE_HZ, size_pixels=SIZE_PIXELS, crop="centre") if stream == "visual" else None
    return decoder.decode(path, view, audio=stream == "audio")


def _sound(clip: DecodedClip) -> NDArray[np.float64]:
    if clip.waveform is None:
        raise ValueError("an example of forged sound has no sound; forge the dataset again")
    return np.asarray(clip.waveform, dtype=np.float64)


def _spectrogram(sound: NDArray[np.float64], loudest: float) -> str:
    """Decibels below the loudest bin of the genuine sound, 8 ms by 31 Hz each, low frequencies at the bottom."""
    decibels = 20 * np.log10(np.abs(stft(sound)) / max(loudest, 1e-9) + 1e-9)
    shown = np.clip(1 + decibels / _RANGE_DB, 0, 1).T[::-1]
    return _uri(Image.fromarray((colormaps["magma"](shown)[..., :3] * 255).astype(np.uint8)), "PNG")


def _strips(genuine: DecodedClip, forged: DecodedClip, segment: Segment) -> tuple[Row, ...]:
    """Frames from just before the segment to just after it: genuine, forged, and how they differ, made brighter."""
    if genuine.frames is None or forged.frames is None:
        raise ValueError("an example of a forged picture has no picture; forge the dataset again")
    first, stop = round(segment.start * FRAME_RATE_HZ), round(segment.end * FRAME_RATE_HZ)
    last = min(stop + _CONTEXT_FRAMES, len(forged.frames)) - 1
    shown = np.unique(np.linspace(max(0, first - _CONTEXT_FRAMES), last, _NUM_FRAMES).round().astype(int)).tolist()
    before, after = (np.stack([clip[i] for i in shown]) for clip in (genuine.frames, forged.frames))
    difference = np.abs(before.astype(np.float32) - after) * _DIFFERENCE_GAIN
    rows = {"genuine": before, "forged": after, f"difference x {_DIFFERENCE_GAIN:g}": np.minimum(difference, 255)}
    return tuple(
        Row(
            title,
            tuple(
                Picture(_frame_uri(frame), i / FRAME_RATE_HZ, title != "genuine" and first <= i < stop)
                for i, frame in zip(shown, frames, strict=True)
            ),
        )
        for title, frames in rows.items()
    )


def _frame_uri(frame: NDArray[Any]) -> str:
    image = Image.fromarray(frame.astype(np.uint8))
    return _uri(image.resize((_FRAME_PIXELS, _FRAME_PIXELS), Image.Resampling.LANCZOS), "JPEG", quality=80)


def _uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, optimize=True, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
