"""Which segments of the offline result of a growing clip are certain, however the clip goes on.

The offline result is `merge_windows` over the clip's windows, thinned for a reader. Both are greedy: a proposal stays
unless a better one replaces it. So its fate is known as soon as that of every better one near it is, and no window to
come can hold a better one that reaches it. Three answers are carried through both rules: stays, goes, not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.windows import (
    CUT,
    SHALLOW,
    grown_over_seam,
    in_clip,
    is_cut,
    reaching_over,
    replaced_by,
)
from iamsb_core.timeline import Segment

Rows = NDArray[np.float64]
Flags = NDArray[np.bool_]

_TIME_DECIMALS, _SCORE_DECIMALS = 4, 6
"""as the report rounds"""


@dataclass(frozen=True, kw_only=True)
class _Pool:
    """Proposals of all windows that may still matter, in the order in which ties are broken."""

    rows: Rows
    rank: NDArray[np.float64]
    """where it is not known yet, the highest that it may be"""
    is_ranked: Flags
    cut: Flags
    group: NDArray[np.int64]
    """the window; a number of its own for a joined one, above those of all windows"""
    stays: Flags
    """known from before, as is"""
    hidden: Flags
    """behind a better one that is shown, which may be forgotten by now"""

    def keep(self, chosen: NDArray[np.generic]) -> _Pool:
        return _Pool(**{name: values[chosen] for name, values in self.__dict__.items()})

    def add(self, other: _Pool) -> _Pool:
        both = _Pool(**{name: np.concatenate([v, getattr(other, name)]) for name, v in self.__dict__.items()})
        return both.keep(np.argsort(both.group, kind="stable"))


def _pool(rows: Rows, cut: Flags, group: NDArray[np.int64]) -> _Pool:
    known = np.ones(len(rows), dtype=bool)
    rank = rows[:, 2] * np.where(cut, CUT, 1.0)
    return _Pool(rows=rows, rank=rank, is_ranked=known, cut=cut, group=group, stays=~known, hidden=~known)


_SLACK_SECONDS, _SLACK_SCORE = 1e-3, 1e-6
"""more than rounding may move anything"""
_JOINED = 1 << 40
_NEVER = np.inf


class SettledInWindows:
    """One lane: windows go in as they are localised, and rows come out once they are certain."""

    def __init__(
        self, *, display: float, max_overlap: float, same_tiou: float = 0.5, edge_seconds: float = 0.12
    ) -> None:
        """display, max_overlap: what the report shows; the others as `merge_windows` has them."""
        self._display, self._max_overlap = display, max_overlap
        self._same_tiou, self._edge_seconds = same_tiou, edge_seconds
        empty = np.empty((0, 3))
        self._pool = _pool(empty, np.empty(0, dtype=bool), np.empty(0, dtype=np.int64))
        self._window: Segment | None = None
        self._num_windows = self._num_joined = 0
        self._reaching = empty
        self._left_bound = -np.inf
        self._printed: set[tuple[float, float, float]] = set()

    @property
    def num_kept(self) -> int:
        """Proposals held in memory."""
        return len(self._pool.rows)

    def add(self, window: Segment, proposals: NDArray[np.floating], *, is_end: bool = False) -> None:
        """The proposals of the next window, in its own seconds; is_end: it ends with the clip."""
        rows, edge = in_clip(np.asarray(proposals, np.float32), window), self._edge_seconds
        duration = window.end if is_end else _NEVER
        grown = np.empty((0, 3))
        if self._window is not None:
            self._rank_last((self._window.end + window.start) / 2.0, (self._window.end + window.start) / 2.0)
            self._left_bound = (self._window.end + window.start) / 2.0
            grown = grown_over_seam(self._reaching, window, rows, edge)
        group = np.full(len(rows), self._num_windows)
        self._pool = self._pool.add(_pool(rows, is_cut(rows, window, duration, edge), group))
        joined_cut = (grown[:, 1] >= window.end - edge) & (window.end < duration)
        joined_group = _JOINED + self._num_joined + np.arange(len(grown))
        self._pool = self._pool.add(_pool(grown, joined_cut, joined_group))
        self._reaching = reaching_over(window, grown, rows, edge)
        self._window, self._num_windows = window, self._num_windows + 1
        self._num_joined += len(grown)

    def settle(self, next_start: tuple[float, float]) -> Rows:
        """The rows that have become certain, (M, 3) in order of time.

        next_start: the earliest and the latest second at which the next window may begin; infinite where there is none.
        """
        assert self._window is not None
        self._rank_last(*((self._window.end + start) / 2.0 for start in next_start))
        first = next_start[0]
        ahead = self._reaching if np.isfinite(first) else self._reaching[:0]
        stays, goes = self._merged(first, ahead)
        shown, is_open, hidden = self._thinned(first, ahead, stays, goes)
        self._pool = _Pool(**{**self._pool.__dict__, "stays": stays, "hidden": hidden})
        new = np.asarray([row for row in shown.tolist() if tuple(row) not in self._printed], dtype=np.float64)
        new = new.reshape(-1, 3)
        self._printed |= {(start, end, score) for start, end, score in new.tolist()}
        self._forget(first, ahead, goes, is_open)
        return new[np.lexsort((new[:, 1], new[:, 0]))]

    def _rank_last(self, lowest: float, highest: float) -> None:
        """Rank the last window's rows by where the overlap with the next window has its middle."""
        pool, last = self._pool, self._pool.group == self._num_windows - 1
        centres = pool.rows[:, :2].mean(axis=1)
        deep = (centres >= self._left_bound) & (centres < lowest)
        maybe = (centres >= max(self._left_bound, lowest)) & (centres < highest)
        full = pool.rows[:, 2] * np.where(pool.cut, CUT, np.where(deep | maybe, 1.0, SHALLOW))
        self._pool = _Pool(
            **{
                **pool.__dict__,
                "rank": np.where(last, full, pool.rank),
                "is_ranked": ~last | pool.cut | ~maybe,
            }
        )

    def _merged(self, first: float, ahead: Rows) -> tuple[Flags, Flags]:
        """(N,) each: which proposals are certain to survive the merging of the windows, and which not to."""
        pool = self._pool
        starts, ends = pool.rows[:, 0], pool.rows[:, 1]
        lengths, beyond = ends - starts, np.maximum(0.0, ends - np.maximum(first, starts))
        open_ended = (beyond > self._same_tiou * lengths) | (pool.cut & (beyond >= 0.5 * lengths) & (beyond > 0.0))
        open_ended |= _within_reach(pool.rows, pool.rank, ahead) | ~pool.is_ranked
        stays, goes, doubtful = pool.stays.copy(), np.zeros(len(starts), dtype=bool), open_ended & ~pool.stays
        seen = np.zeros(len(starts), dtype=bool)
        for pick in np.argsort(-pool.rank, kind="stable"):
            seen[pick] = True
            if goes[pick]:
                continue
            stays[pick] = stays[pick] or not doubtful[pick]
            replaced = replaced_by(pool.rows[pick], pool.rows, pool.cut, self._same_tiou)
            replaced &= ~seen & (pool.group != pool.group[pick]) & ~pool.stays
            (goes if stays[pick] else doubtful)[replaced] = True
        return stays, goes

    def _thinned(self, first: float, ahead: Rows, stays: Flags, goes: Flags) -> tuple[Rows, Flags, Flags]:
        """Of the survivors, the rows that are certain to be shown; (N,) those that may be or not; (N,) those not."""
        rows = np.asarray(self._pool.rows, dtype=np.float32).astype(np.float64)
        rows = np.concatenate([rows[:, :2].round(_TIME_DECIMALS), rows[:, 2:].round(_SCORE_DECIMALS)], axis=1)
        order = np.argsort(-rows[:, 2], kind="stable")
        order = order[
            ~(goes | self._pool.hidden)[order] & (rows[order, 2] >= self._display) & (rows[order, 1] > rows[order, 0])
        ]
        rows, sure = rows[order], stays[order]
        doubtful = ~sure | (rows[:, 1] > first - _SLACK_SECONDS) | _within_reach(rows, rows[:, 2], ahead)
        hidden = np.zeros(len(rows), dtype=bool)
        for pick in range(len(rows)):
            if hidden[pick]:
                continue
            overlap = np.minimum(rows[pick, 1], rows[:, 1]) - np.maximum(rows[pick, 0], rows[:, 0])
            shorter = np.minimum(rows[pick, 1] - rows[pick, 0], rows[:, 1] - rows[:, 0])
            covered = np.clip(overlap, 0.0, None) / np.maximum(shorter, 1e-9) > self._max_overlap
            covered[: pick + 1] = False
            (doubtful if doubtful[pick] else hidden)[covered] = True
        is_open = np.zeros(len(stays), dtype=bool)
        is_open[order[doubtful & ~hidden]] = True
        all_hidden = self._pool.hidden.copy()
        all_hidden[order[hidden]] = True
        return rows[~hidden & ~doubtful], is_open, all_hidden

    def _forget(self, first: float, ahead: Rows, goes: Flags, is_open: Flags) -> None:
        """Drop what is known to go, and what is known to stay but lies before everything that is open."""
        pool = self._pool
        stays = pool.stays
        decided = stays | goes
        open_from = min([first, *ahead[:, 0].tolist(), *pool.rows[~decided | is_open, 0].tolist()])
        reached = pool.rows[stays]
        while (more := reached[(reached[:, 1] > open_from) & (reached[:, 0] < open_from)]).size:
            open_from = float(more[:, 0].min())  # what is open may hide these, and these others
        kept = ~goes & ~(stays & (pool.rows[:, 1] <= open_from - 2.0 * _SLACK_SECONDS))
        self._pool = pool.keep(np.flatnonzero(kept))
        self._printed = {row for row in self._printed if row[1] > open_from - 1.0}  # rounded


def _within_reach(rows: Rows, rank: NDArray[np.float64], ahead: Rows) -> Flags:
    """(N,): which rows a better segment may cover that grows out of one of these over the next seam."""
    found = np.zeros(len(rows), dtype=bool)
    for start, _, score in ahead.tolist():
        found |= (rows[:, 1] > start - _SLACK_SECONDS) & (rank <= score + _SLACK_SCORE)
    return found
