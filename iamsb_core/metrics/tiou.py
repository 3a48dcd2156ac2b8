"""Temporal intersection over union of segments, as the field's evaluators define it.

`union`: overlap over the union's length (ActivityNet). `hull`: overlap over the stretch from the first start to the
last end (LAV-DF `metrics.py`, AV-Deepfake1M `loc_1d.rs`). The two differ only where segments do not overlap, and
there both are 0; in float32 they round differently, which is why parity needs both.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Overlap = Literal["union", "hull"]


def tiou(a: NDArray[np.floating], b: NDArray[np.floating], *, overlap: Overlap = "union") -> NDArray[np.floating]:
    """Element by element: (..., 2) and (..., 2) seconds, broadcast, give (...) in [0, 1].

    Segments that end before they start, or have no length, overlap nothing.
    """
    a_start, a_end, b_start, b_end = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    shared = np.minimum(a_end, b_end) - np.maximum(a_start, b_start)
    if overlap == "hull":
        whole = np.maximum(a_end, b_end) - np.minimum(a_start, b_start)
    else:
        whole = (a_end - a_start) + (b_end - b_start) - shared
    overlaps = shared > 0
    ratio: NDArray[np.floating] = np.where(overlaps, shared, 0) / np.where(overlaps, whole, 1)
    return ratio


def pairwise_tiou(
    a: NDArray[np.floating], b: NDArray[np.floating], *, overlap: Overlap = "union"
) -> NDArray[np.floating]:
    """All pairs: (N, 2) and (M, 2) seconds give (N, M)."""
    return tiou(np.asarray(a)[:, None, :2], np.asarray(b)[None, :, :2], overlap=overlap)
