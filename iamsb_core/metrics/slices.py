"""Groups of clips, to see where a system is good and where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from iamsb_core.metrics.labels import ClipTruth

Slicing = Literal["dataset", "split", "modality", "generator", "duration", "forged_length", "segment_length"]
SLICINGS: tuple[Slicing, ...] = get_args(Slicing)

_DURATION_EDGES_SECONDS = (5.0, 10.0, 20.0, 60.0)
_LENGTH_EDGES_SECONDS = (0.5, 1.0, 2.0)
_UNKNOWN = "unknown"


def groups_of(clips: Sequence[ClipTruth], by: Slicing) -> dict[str, list[ClipTruth]]:
    """Clips by group, in order of the group.

    `dataset`, `split` and `duration` (of the clip) part the clips. `modality` (the streams that were forged),
    `generator` and `forged_length` (of the clip's longest forged segment) part the forged clips; every group has all
    genuine ones too, because false alarms in those are part of every group's precision. A clip that several generators
    made ("a+b") is in each one's group. `segment_length` is no grouping of clips: see `length_buckets`.
    """
    if by in ("dataset", "split", "duration"):
        keys: list[tuple[str, ...]] = [(_key(clip, by),) for clip in clips]
    elif by in ("modality", "generator", "forged_length"):
        keys = [tuple(dict.fromkeys(_key(clip, by).split("+"))) if clip.is_forged else () for clip in clips]
    else:
        raise ValueError(f"clips are sliced by {', '.join(SLICINGS[:-1])}, not by {by!r}")
    groups: dict[str, list[ClipTruth]] = {key: [] for key in sorted({key for found in keys for key in found})}
    for clip, found in zip(clips, keys, strict=True):
        for name in found or groups:
            groups[name].append(clip)
    return groups


def telling(clips: Sequence[ClipTruth]) -> tuple[Slicing, ...]:
    """The slicings that show more than the whole: those of which the labels tell at least two groups."""
    by_clip = tuple(by for by in SLICINGS if by != "segment_length" and len(groups_of(clips, by)) > 1)
    lengths = np.concatenate([np.empty(0), *(clip.fused[:, 1] - clip.fused[:, 0] for clip in clips)])
    buckets = np.unique(np.searchsorted(_LENGTH_EDGES_SECONDS, lengths, side="right"))
    return (*by_clip, "segment_length") if len(buckets) > 1 else by_clip


def length_buckets() -> dict[str, tuple[float, float]]:
    """Bounds [from, to) in seconds of the buckets of segments' lengths, by name."""
    edges = (0.0, *_LENGTH_EDGES_SECONDS, np.inf)
    return {_bucket(low, _LENGTH_EDGES_SECONDS): (low, high) for low, high in pairwise(edges)}


def _key(clip: ClipTruth, by: Slicing) -> str:
    if by == "duration":
        return _bucket(clip.duration_seconds, _DURATION_EDGES_SECONDS)
    if by == "forged_length":
        return _UNKNOWN if clip.is_whole_clip else _bucket(_longest(clip), _LENGTH_EDGES_SECONDS)
    if by == "modality":
        return _forged_streams(clip)
    known = {"dataset": clip.dataset, "split": clip.split, "generator": clip.generator}[by]
    return _UNKNOWN if known is None else known


def _forged_streams(clip: ClipTruth) -> str:
    """`audio`, `visual`, or `audio and visual`: any stretch of both, at the same time or not."""
    if clip.audio is None or clip.visual is None:
        return _UNKNOWN
    return " and ".join(name for name, truth in (("audio", clip.audio), ("visual", clip.visual)) if len(truth))


def _longest(clip: ClipTruth) -> float:
    return float((clip.fused[:, 1] - clip.fused[:, 0]).max())


def _bucket(seconds: float | None, edges: tuple[float, ...]) -> str:
    """The bucket's name, such as "05.0-10.0 s", padded so that names sort as lengths do."""
    if seconds is None:
        return _UNKNOWN
    names = [f"{edge:04.1f}" for edge in edges]
    place = int(np.searchsorted(edges, seconds, side="right"))
    if place == len(edges):
        return f"{names[-1]} s and more"
    return f"{'00.0' if place == 0 else names[place - 1]}-{names[place]} s"
