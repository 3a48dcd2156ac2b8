"""What is unusual about a picture: it stands still, it is cut, nobody is in it. Frames stand on the clip's grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""(num_cells, height, width, 3) RGB"""

_STILL_LEVELS = 2
_STILL_PROBES = 48
_ROW_STEP, _COLUMN_STEP = 16, 4
"""of the pixels compared: rows lie far apart on disk, and hours of frames are many pages"""
_CUT_LEVELS = 20.0
_CUT_RATIO = 5.0
_AROUND_CELLS = 12
_FRAMES_AT_ONCE = 256


def is_still(frames: Frames) -> bool:
    """Whether up to 48 frames spread over the clip differ from the first by no more than 2 of 255 levels."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _STILL_PROBES)).round().astype(int))
    first = frames[0].astype(np.int16)
    moved = (np.abs(frames[index].astype(np.int16) - first).max() > _STILL_LEVELS for index in chosen[1:])
    return len(chosen) > 1 and not any(moved)


def cuts(frames: Frames, boxes: NDArray[np.float32] | None = None) -> NDArray[np.int64]:
    """The frames that begin another shot: they differ from the one before by more than 20 levels on average.

    And by five times the median of the half second on either side, so that fast motion is not a cut. Where the crop
    moved with the frame (`boxes`, (num_cells, 4)) the two cannot be compared, and nothing is said.
    """
    changes = _changes(frames)
    if not len(changes):
        return np.empty(0, dtype=np.int64)
    padded = np.pad(changes, _AROUND_CELLS, mode="reflect" if len(changes) > _AROUND_CELLS else "edge")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND_CELLS + 1), axis=1)
    is_cut = (changes > _CUT_LEVELS) & (changes > _CUT_RATIO * (usual + 1.0))
    if boxes is not None:
        is_cut &= (np.diff(boxes, axis=0) == 0).all(axis=1)
    return np.flatnonzero(is_cut) + 1


def _changes(frames: Frames) -> NDArray[np.float64]:
    """(num_cells - 1,): mean difference of the brightness of neighbouring frames, in levels."""
    found = [np.empty(0)]
    for first in range(0, len(frames) - 1, _FRAMES_AT_ONCE):
        piece = frames[first : first + _FRAMES_AT_ONCE + 1, ::_ROW_STEP, ::_COLUMN_STEP]
        grey = piece.astype(np.float32).mean(axis=3)
        found.append(np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2)))
    return np.concatenate(found)
