"""Features against their own surroundings: what a person, a microphone or a camera adds to all cells is taken away.

On people never seen in training this is worth more than any single feature (see the table in the package's docstring).
The surroundings are the cells within HALF_WIDTH_SECONDS on both sides, not the whole clip, so a long recording with
several scenes is compared with the scene at hand, and the cost is linear in the length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HALF_WIDTH_SECONDS = 5.0
_SHRINKAGE = 0.25


def local_mean(values: NDArray[np.float32], half_width: int) -> NDArray[np.float64]:
    """(n, d): mean over rows [i - half_width, i + half_width], as far as they exist."""
    total = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, dtype=np.float64, out=total[1:])
    index = np.arange(len(values))
    first, last = np.maximum(index - half_width, 0), np.minimum(index + half_width + 1, len(values))
    means: NDArray[np.float64] = (total[last] - total[first]) / (last - first)[:, None]
    return means


def centred(values: NDArray[np.float32], half_width: int) -> NDArray[np.float32]:
    """(n, d): values minus their local mean."""
    return (values - local_mean(values, half_width)).astype(np.float32)


def standardised(
    values: NDArray[np.float32], half_width: int, floor: float, mean_square: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """(n, d): centred values over their local standard deviation.

    The variance is shrunk towards the column's over the whole clip, and never below floor^2, so that a stretch in
    which nothing happens is not blown up. mean_square: (d,) of the centred columns over the whole clip, where the
    values are a part of it.
    """
    centre = centred(values, half_width)
    square = np.square(centre)
    overall = square.mean(axis=0, dtype=np.float64) if mean_square is None else mean_square
    variance = local_mean(square, half_width) + _SHRINKAGE * overall + floor**2
    scaled: NDArray[np.float32] = (centre / np.sqrt(variance)).astype(np.float32)
    return scaled
