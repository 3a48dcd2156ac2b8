"""Pictures onto a grid by presentation time: what a viewer would see at the centre of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.video import Picture, Pixels

_TIE_SECONDS = 1e-6


def on_screen(pictures: Iterable[Picture], seconds: NDArray[np.float64]) -> Iterator[Pixels]:
    """For each time, the last picture that came on screen at or before it; the first one where none had yet.

    Args:
        pictures: in order of time; read once, converted only where shown.
        seconds: ascending, on the clock of the pictures.

    Yields one array per time. A picture shown at several times is yielded as the same object. Yields nothing where
    there are no pictures at all.
    """
    upcoming = iter(pictures)
    current = next(upcoming, None)
    if current is None:
        return
    following = next(upcoming, None)
    shown: Pixels | None = None
    for time in seconds:
        while following is not None and following.seconds <= time + _TIE_SECONDS:
            current, following, shown = following, next(upcoming, None), None
        if shown is None:
            shown = current.rgb()
        yield shown
    for _ in upcoming:  # a reader is read to its end: only there does it find out that it lost pictures
        pass
