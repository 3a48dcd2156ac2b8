"""What the page draws: the sound's envelope, score curves, thumbnails and the ticks of the axis.

Paths are SVG in a box 1000 wide and 100 high that the page stretches over the time line, so x = 1000 is the
clip's end.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iamsb_core.report.evidence import ScoreCurve

NUM_THUMBNAILS = 14
_THUMBNAIL_PIXELS = 120
_JPEG_QUALITY = 70
_ENVELOPE_BINS = 900
_CURVE_POINTS = 1000
_QUIETEST_FULL_SCALE = 0.02
_STEPS_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


def envelope(waveform: NDArray[np.float32], num_bins: int = _ENVELOPE_BINS) -> NDArray[np.float32]:
    """(2, bins): lowest and highest sample in each of up to num_bins equal parts of the waveform."""
    bins = min(num_bins, len(waveform))
    firsts = np.arange(bins) * len(waveform) // max(1, bins)
    if not bins:
        return np.zeros((2, 1), dtype=np.float32)
    return np.stack([np.minimum.reduceat(waveform, firsts), np.maximum.reduceat(waveform, firsts)])


def envelope_path(waveform: NDArray[np.float32]) -> str:
    """The envelope as a closed shape around y = 50; the loudest sample fills the box (quiet noise does not)."""
    low, high = envelope(waveform)
    scale = 48.0 / max(float(np.abs([low, high]).max()), _QUIETEST_FULL_SCALE)
    x = (np.arange(len(low)) + 0.5) * (1000.0 / len(low))
    above = [f"{a:.1f} {50 - b * scale:.1f}" for a, b in zip(x, high, strict=True)]
    below = [f"{a:.1f} {50 - b * scale:.1f}" for a, b in zip(x[::-1], low[::-1], strict=True)]
    return f"M0 50L{'L'.join(above)}L1000 50L{'L'.join(below)}Z"


def curve_path(curve: ScoreCurve, duration_seconds: float) -> str:
    """The score as steps above y = 100 (score 0) up to y = 0 (score 1), closed along the bottom.

    More than 1000 cells are drawn as 1000 parts, each with its highest score.
    """
    scores = np.asarray(curve.scores)
    parts = min(len(scores), _CURVE_POINTS)
    firsts = np.arange(parts) * len(scores) // parts
    heights = np.maximum.reduceat(scores, firsts).round(4).tolist()
    edges = np.append(firsts, len(scores)) * curve.hop_seconds * 1000.0 / max(duration_seconds, curve.hop_seconds)
    steps = []
    for height, cells in groupby(range(parts), key=lambda part: heights[part]):
        last = max(cells)
        steps.append(f"V{100 - 100 * height:.1f}H{min(edges[last + 1], 1000.0):.2f}")
    return f"M0 100{''.join(steps)}V100Z"


def thumbnails(frames: NDArray[np.uint8], num_pictures: int = NUM_THUMBNAILS) -> tuple[str, ...]:
    """JPEG data URIs of the frames at the centres of num_pictures equal parts of the clip."""
    centres = (np.arange(num_pictures) + 0.5) * len(frames) / num_pictures
    return tuple(_jpeg_uri(frames[index]) for index in centres.astype(int).tolist())


def poster(frames: NDArray[np.uint8]) -> bytes:
    """A JPEG of the frame in the middle of the clip, as small as the thumbnails."""
    return _jpeg(frames[len(frames) // 2])


def _jpeg_uri(frame: NDArray[np.uint8]) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(_jpeg(frame)).decode("ascii")


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(frame))
    image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Tick:
    """One mark of the axis."""

    seconds: float
    percent: float
    label: str
    minor: bool
    """left out where there is little room"""


def ticks(duration_seconds: float, most: int = 10) -> tuple[Tick, ...]:
    """Marks at round times from 0 on, at most `most` steps of them; every second one is minor."""
    step = next((step for step in _STEPS_SECONDS if duration_seconds / step <= most), duration_seconds / most)
    number = int(duration_seconds / step + 1e-9)
    decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
    return tuple(
        Tick(
            seconds=round(index * step, 6),
            percent=round(100.0 * index * step / duration_seconds, 4),
            label=_label(index * step, duration_seconds, decimals),
            minor=index % 2 == 1,
        )
        for index in range(number + 1)
    )


def _label(seconds: float, duration_seconds: float, decimals: int) -> str:
    if duration_seconds < 120:
        return f"{seconds:.{decimals}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if duration_seconds < 3600:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
