"""The sound's spectrogram as a small picture that is drawn in ink of any colour: darkness is the image's alpha."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MOST_COLUMNS = 1000
NUM_ROWS = 64
_WINDOW = 512
_FINEST_HOP = 128
_LOOKS = 4
_RANGE_DECIBELS = 70.0
_LEVELS = 32


def spectrogram(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """(64, columns) in [0, 1]: 0 to 8 kHz from the last row to the first, time from the first column to the last.

    A column is the mean power of up to four Hann windows of 32 ms in its part of the clip, in decibels from 70 below
    the loudest (0) to the loudest (1). Columns are 8 ms apart, more in clips for which 1000 would not do. All zeros
    for silence.
    """
    columns = max(1, min(MOST_COLUMNS, -(-len(waveform) // _FINEST_HOP)))
    hop = len(waveform) / columns
    centres = (np.arange(columns)[:, None] + (np.arange(_LOOKS) + 0.5) / _LOOKS) * hop
    padded = np.pad(waveform, _WINDOW // 2)
    power = np.empty((columns, _WINDOW // 2))
    for some in np.array_split(np.arange(columns), max(1, columns // 100)):
        starts = np.minimum(centres[some].astype(int), len(waveform))
        pieces = padded[starts[..., None] + np.arange(_WINDOW)] * np.hanning(_WINDOW)
        power[some] = np.square(np.abs(np.fft.rfft(pieces)))[..., 1:].mean(axis=1)
    rows = power.reshape(columns, NUM_ROWS, -1).mean(axis=2)
    if not rows.max() > 0.0:
        return np.zeros((NUM_ROWS, columns))
    decibels = 10.0 * np.log10(np.maximum(rows / rows.max(), 1e-12))
    return np.asarray(np.clip(1.0 + decibels / _RANGE_DECIBELS, 0.0, 1.0).T[::-1])


def spectrogram_uri(waveform: NDArray[np.float32]) -> str:
    """A PNG data URI: black, more opaque where the sound is louder, in 32 levels."""
    levels = np.round(spectrogram(waveform) * (_LEVELS - 1)) * (255.0 / (_LEVELS - 1))
    alpha = Image.fromarray(levels.astype(np.uint8), mode="L")
    image = Image.merge("LA", (Image.new("L", alpha.size, 0), alpha))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
