"""Groups of clips, to see where a system is good and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from iamsb_core.metrics.labels import ClipTruth

Slicing = Literal["duration", "forged_length", "generator"]

_DURATION_EDGES_SECONDS = (5.0, 10.0, 20.0, 60.0)
_LENGTH_EDGES_SECONDS = (0.5, 1.0, 2.0)


def groups_of(clips: Sequence[ClipTruth], by: Slicing) -> dict[str, list[ClipTruth]]:
    """Clips by group, in order of the group.

    `duration`: of the clip. `forged_length`: of its longest forged segment, and `generator`: each with all genuine
    clips too, because false alarms in those are part of every group's precision.
    """
    if by == "duration":
        return _grouped(clips, [_bucket(clip.duration_seconds, _DURATION_EDGES_SECONDS) for clip in clips])
    if by == "forged_length":
        keys = [_bucket(_longest(clip), _LENGTH_EDGES_SECONDS) if clip.is_forged else None for clip in clips]
    elif by == "generator":
        keys = [(clip.generator or "unknown") if clip.is_forged else None for clip in clips]
    else:
        raise ValueError(f"clips are sliced by duration, forged_length or generator, not by {by!r}")
    return {
        group: [clip for clip, key in zip(clips, keys, strict=True) if key in (None, group)]
        for group in sorted({key for key in keys if key is not None})
    }


def _grouped(clips: Sequence[ClipTruth], keys: Sequence[str]) -> dict[str, list[ClipTruth]]:
    groups: dict[str, list[ClipTruth]] = {key: [] for key in sorted(set(keys))}
    for clip, key in zip(clips, keys, strict=True):
        groups[key].append(clip)
    return groups


def _longest(clip: ClipTruth) -> float:
    return float((clip.fused[:, 1] - clip.fused[:, 0]).max())


def _bucket(seconds: float | None, edges: tuple[float, ...]) -> str:
    """The bucket's name, such as "05-10 s", padded so that names sort as lengths do."""
    if seconds is None:
        return "unknown"
    names = [f"{edge:04.1f}" for edge in edges]
    place = int(np.searchsorted(edges, seconds, side="right"))
    if place == len(edges):
        return f"{names[-1]} s and more"
    return f"{'00.0' if place == 0 else names[place - 1]}-{names[place]} s"
