"""Features in a byte each: every cell's numbers over the largest of them, with that one beside them.

A cell's error is at most half a step, 1/254 of its largest magnitude. It takes a bit more than half the room of
float16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTISED = "int8"
SCALES_SUFFIX = "_scales"
"""an array `values` in bytes has `values_scales`, (num_cells, 1) float32, beside it"""
_LARGEST = 127


def quantised(values: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(n, d) to (n, d) whole numbers in -127..127 and (n, 1) steps; not finite where a cell's numbers are not."""
    largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
    scales = (largest / _LARGEST).astype(np.float32)
    with np.errstate(invalid="ignore"):
        steps = np.rint(values / np.where(scales > 0.0, scales, np.float32(1.0)))
        whole = np.nan_to_num(steps, nan=0.0).clip(-_LARGEST, _LARGEST).astype(np.int8)
    return whole, scales


def restored(whole: NDArray[np.int8], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d): what the bytes stand for."""
    return whole * scales
