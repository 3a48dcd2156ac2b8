"""Which segments of a growing clip can no longer change.

`SettledInWindows` answers for the offline result: what is settled is in the list that `merge_windows` and thinning
make of the whole clip, however it goes on. `SettledPromptly` makes a list of its own with a short look-ahead, of
which nothing is taken back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
"""(N, 3): start seconds, end seconds, score"""


def _overlap_shares(one: Rows, others: Rows) -> NDArray[np.float64]:
    """(N,): overlap as a share of the shorter of each pair."""
    overlap = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    shorter = np.minimum(one[1] - one[0], others[:, 1] - others[:, 0])
    shares: NDArray[np.float64] = np.clip(overlap, 0.0, None) / np.maximum(shorter, 1e-9)
    return shares


class SettledPromptly:
    """Segments of one lane, each taken from the first window that sees enough of what follows it.

    A window that ends at T settles what ends by T - look_ahead. What overlaps something settled is not settled again,
    and what would end more than late_seconds before that is dropped, so that what is printed stays in order of time
    but for so much, and nothing is kept of what is long past.
    """

    def __init__(self, *, look_ahead_seconds: float, max_overlap: float, late_seconds: float = 1.0) -> None:
        if look_ahead_seconds < 0.0 or late_seconds < 0.0:
            raise ValueError(f"look-ahead and lateness cannot be negative, got {look_ahead_seconds}, {late_seconds}")
        self._look_ahead, self._max_overlap, self._late = look_ahead_seconds, max_overlap, late_seconds
        self._settled = np.zeros((0, 3))
        self._reached = 0.0

    def settle(self, shown: Rows, end_seconds: float, *, begin_seconds: float = 0.0, is_end: bool = False) -> Rows:
        """The rows that settle now, (M, 3) in order of time.

        shown: what one window would show, in seconds of the clip; end_seconds: of the window; begin_seconds: of the
        window, no later window begins earlier; is_end: the clip ends there, so everything settles.
        """
        reached = np.inf if is_end else max(0.0, end_seconds - self._look_ahead)
        rows = np.asarray(shown, dtype=np.float64).reshape(-1, 3)
        rows = rows[(rows[:, 1] <= reached) & (rows[:, 1] > self._reached - self._late)]
        free = [row for row in rows if (_overlap_shares(row, self._settled) <= self._max_overlap).all()]
        now = np.asarray(free, dtype=np.float64).reshape(-1, 3)
        now = now[np.lexsort((now[:, 1], now[:, 0]))]
        self._settled = np.concatenate([self._settled, now])
        self._settled = self._settled[self._settled[:, 1] > begin_seconds]
        self._reached = reached
        return now
