"""Long videos: windows that overlap, and one result out of the windows' results.

A segment that two windows see is taken from the one in which it lies deeper, a segment that an inner edge cuts
is replaced by the whole one where a neighbour saw it, and the pieces of a segment longer than the overlap are
joined across the seam.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals, Proposals, sorted_proposals
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.timeline import Segment

ClipRule = Literal["max", "noisy-or"]

SHALLOW = 0.5
"""rank of a proposal that lies deeper in the neighbouring window, against its score"""
CUT = 0.1
"""rank of a proposal that an inner edge cuts"""
_TIE_CELLS = 1e-9


def plan_windows(
    duration_seconds: float, window_seconds: float, overlap_seconds: float, *, align_seconds: float = 0.04
) -> list[Segment]:
    """Windows that cover [0, duration), each sharing overlap_seconds or more with the next.

    Starts are multiples of align_seconds (the cell of the coarser stream), so a window holds whole cells. All
    windows but a single one are window_seconds long; the last one ends with the clip and may be shorter by less
    than one cell. Raises ValueError where the overlap leaves no step forward.
    """
    if not 0.0 < duration_seconds < math.inf:
        raise ValueError(f"a clip needs a positive duration, got {duration_seconds} s")
    step_cells = math.floor((window_seconds - overlap_seconds) / align_seconds + _TIE_CELLS)
    if overlap_seconds < 0.0 or step_cells < 1:
        raise ValueError(
            f"windows of {window_seconds} s that overlap by {overlap_seconds} s do not advance by a cell "
            f"({align_seconds} s); make the overlap smaller, such as a quarter of the window"
        )
    if duration_seconds <= window_seconds:
        return [Segment(0.0, duration_seconds)]
    last_cell = math.ceil((duration_seconds - window_seconds) / align_seconds - _TIE_CELLS)
    inner = [cell * align_seconds for cell in range(0, last_cell, step_cells)]
    windows = [Segment(start, start + window_seconds) for start in inner]
    return [*windows, Segment(last_cell * align_seconds, duration_seconds)]


def merge_windows(
    video_id: str,
    duration_seconds: float,
    windows: Sequence[Segment],
    results: Sequence[ClipProposals],
    *,
    same_tiou: float = 0.5,
    edge_seconds: float = 0.12,
    clip_rule: ClipRule = "max",
    max_proposals: int | None = None,
) -> ClipProposals:
    """One result in seconds of the whole clip out of each window's result in seconds of its own.

    Of two proposals of different windows with a tiou above same_tiou one stays: the better scored, after those
    that lie deeper in the neighbouring window have been ranked at half. A proposal ending within edge_seconds of
    an inner window edge counts as cut: it yields to anything that covers half of it, and where both windows of
    a seam hold such a piece the joined segment is proposed too, with the smaller score of the two.
    `clip_score` is the largest of the windows, or 1 - prod(1 - score). `evidence["windows"]` keeps each window's,
    with every "segment" in it moved to seconds of the whole clip.
    """
    if not windows or len(windows) != len(results):
        raise ValueError(f"{len(windows)} windows and {len(results)} results do not pair; give one result a window")
    if list(windows) != sorted(windows):
        raise ValueError("windows must come in order of time, as plan_windows gives them")
    merged = {
        modality: _merge_lists(windows, [r.of(modality) for r in results], duration_seconds, same_tiou, edge_seconds)[
            :max_proposals
        ]
        for modality in (*STREAMS, None)
    }
    scores = np.asarray([result.clip_score for result in results], dtype=np.float64)
    clip_score = scores.max() if clip_rule == "max" else 1.0 - np.prod(1.0 - scores)
    return ClipProposals(
        video_id=video_id,
        duration_seconds=duration_seconds,
        audio=merged[Modality.AUDIO],
        visual=merged[Modality.VISUAL],
        fused=merged[None],
        clip_score=float(clip_score),
        evidence={"windows": [_window_evidence(w, r) for w, r in zip(windows, results, strict=True)]},
    )


def _window_evidence(window: Segment, result: ClipProposals) -> dict[str, object]:
    return {
        "start_seconds": window.start,
        "end_seconds": window.end,
        "clip_score": result.clip_score,
        "evidence": {key: _in_clip_time(key, value, window.start) for key, value in result.evidence.items()},
    }


def _in_clip_time(key: str, value: object, start_seconds: float) -> object:
    """JSON data with what stands under "segment", at any depth, later by the window's start."""
    if isinstance(value, Mapping):
        return {name: _in_clip_time(name, inner, start_seconds) for name, inner in value.items()}
    if key == "segment" and isinstance(value, Sequence):
        return [seconds + start_seconds for seconds in value]
    if isinstance(value, list | tuple):
        return [_in_clip_time("", inner, start_seconds) for inner in value]
    return value


def _merge_lists(
    windows: Sequence[Segment], lists: Sequence[Proposals], duration: float, same_tiou: float, edge_seconds: float
) -> Proposals:
    """Every window's list, in its own seconds, as one list in the clip's."""
    shifted = [in_clip(proposals, window) for proposals, window in zip(lists, windows, strict=True)]
    joined, joined_cut = _join_across_seams(windows, shifted, edge_seconds, duration)
    everything = np.concatenate([*shifted, joined])
    cut = [is_cut(p, w, duration, edge_seconds) for p, w in zip(shifted, windows, strict=True)]
    deep = [_is_deep(p, k, windows) for k, p in enumerate(shifted)]
    any_cut = np.concatenate([*cut, joined_cut])
    is_deep = np.concatenate([*deep, np.ones(len(joined), dtype=bool)])
    rank = everything[:, 2] * np.where(any_cut, CUT, np.where(is_deep, 1.0, SHALLOW))
    # every joined segment is a group of its own: it gives way to the one that grew out of it
    window_of = np.concatenate(
        [np.repeat(np.arange(len(shifted)), [len(p) for p in shifted]), len(shifted) + np.arange(len(joined))]
    )
    return sorted_proposals(everything[_survivors(everything, rank, window_of, any_cut, same_tiou)])


def in_clip(proposals: Proposals, window: Segment) -> NDArray[np.float64]:
    """In seconds of the clip, kept inside the window."""
    moved = np.asarray(proposals, dtype=np.float64).reshape(-1, 3).copy()
    moved[:, :2] = np.clip(moved[:, :2] + window.start, window.start, window.end)
    return moved[moved[:, 1] > moved[:, 0]]


def is_cut(proposals: NDArray[np.float64], window: Segment, duration: float, edge_seconds: float) -> NDArray[np.bool_]:
    """(N,): whether a window edge that is not the clip's own lies at one of its ends."""
    left = (window.start > 0.0) & (proposals[:, 0] <= window.start + edge_seconds)
    right = (window.end < duration) & (proposals[:, 1] >= window.end - edge_seconds)
    return np.asarray(left | right)


def _is_deep(proposals: NDArray[np.float64], k: int, windows: Sequence[Segment]) -> NDArray[np.bool_]:
    """(N,): whether no neighbouring window holds the segment deeper.

    The distance to this window's right edge equals that to the next one's left edge exactly where the segment's
    centre is the middle of the overlap, so the middle divides the overlap between the two.
    """
    centres = proposals[:, :2].mean(axis=1)
    first = -math.inf if k == 0 else (windows[k - 1].end + windows[k].start) / 2
    last = math.inf if k == len(windows) - 1 else (windows[k].end + windows[k + 1].start) / 2
    return np.asarray((centres >= first) & (centres < last))


def _join_across_seams(
    windows: Sequence[Segment], lists: Sequence[NDArray[np.float64]], edge_seconds: float, duration: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(J, 3) pieces that end at a window's right edge with pieces that begin at the next one's left edge; (J,) cut.

    The best piece of one side goes with the best of the other, and so on. A piece grown over one seam may grow
    over the next; what ends at an inner edge still counts as cut.
    """
    joined, still_cut = [np.empty((0, 3))], [np.empty(0, dtype=bool)]
    reaching = np.empty((0, 3))
    for k, (window, proposals) in enumerate(zip(windows, lists, strict=True)):
        grown = grown_over_seam(reaching, window, proposals, edge_seconds) if k > 0 else np.empty((0, 3))
        joined.append(grown)
        still_cut.append((grown[:, 1] >= window.end - edge_seconds) & (window.end < duration))
        reaching = reaching_over(window, grown, proposals, edge_seconds)
    return np.concatenate(joined), np.concatenate(still_cut)


def grown_over_seam(
    reaching: NDArray[np.float64], window: Segment, proposals: NDArray[np.float64], edge_seconds: float
) -> NDArray[np.float64]:
    """(J, 3): what reaches over a window's left edge, by falling score, joined with what begins at it in the window."""
    beginning = _by_score(proposals[proposals[:, 0] <= window.start + edge_seconds])
    num = min(len(reaching), len(beginning))
    left, right = reaching[:num], beginning[:num]
    # the windows overlap, so two halves of one segment reach past each other on either side
    halves = (left[:, 0] <= right[:, 0] + edge_seconds) & (right[:, 1] >= left[:, 1] - edge_seconds)
    left, right = left[halves], right[halves]
    return np.stack([left[:, 0], right[:, 1], np.minimum(left[:, 2], right[:, 2])], axis=1)


def reaching_over(
    window: Segment, grown: NDArray[np.float64], proposals: NDArray[np.float64], edge_seconds: float
) -> NDArray[np.float64]:
    """What ends at a window's right edge, by falling score.

    Grown ones go first: at the same score they outrank the bare piece they grew from.
    """
    candidates = np.concatenate([grown, proposals])
    return _by_score(candidates[candidates[:, 1] >= window.end - edge_seconds])


def _by_score(proposals: NDArray[np.float64]) -> NDArray[np.float64]:
    return proposals[np.argsort(-proposals[:, 2], kind="stable")]


def _survivors(
    proposals: NDArray[np.float64],
    rank: NDArray[np.float64],
    window_of: NDArray[np.int64],
    cut: NDArray[np.bool_],
    same_tiou: float,
) -> NDArray[np.int64]:
    """Indices that no better ranked proposal of another window replaces.

    Each is compared with those that it may overlap, so that the cost grows with the clip and not with its square.
    """
    order = np.argsort(-rank, kind="stable")
    by_start = np.argsort(proposals[:, 0], kind="stable")
    starts = proposals[by_start, 0]
    longest = float((proposals[:, 1] - proposals[:, 0]).max(initial=0.0))
    first = np.searchsorted(starts, proposals[:, 0] - longest - _TIE_CELLS)
    last = np.searchsorted(starts, proposals[:, 1])
    alive = np.ones(len(proposals), dtype=bool)
    seen = np.zeros(len(proposals), dtype=bool)
    for pick in order:
        seen[pick] = True
        if not alive[pick]:
            continue
        near = by_start[first[pick] : last[pick]]
        stays = ~replaced_by(proposals[pick], proposals[near], cut[near], same_tiou)
        alive[near] &= seen[near] | (window_of[near] == window_of[pick]) | stays
    return np.flatnonzero(alive)


def replaced_by(
    one: NDArray[np.float64], others: NDArray[np.float64], cut: NDArray[np.bool_], same_tiou: float
) -> NDArray[np.bool_]:
    """(N,): which of the others give way to a better ranked one of another window; cut: which of them are cut."""
    overlap = np.maximum(np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0]), 0.0)
    lengths = others[:, 1] - others[:, 0]
    same = overlap > same_tiou * (lengths + (one[1] - one[0]) - overlap)
    return np.asarray(same | (cut & (overlap >= 0.5 * lengths)))
