"""Batches of made-up features, and the same clips placed otherwise: what tests of systems are given."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.manifest import Modality
from iamsb_core.timeline import TimeGrid

GENUINE = torch.zeros(0, 2)
Truth = Sequence[list[tuple[float, float]]]
"""forged segments of each clip, in seconds"""


def noise_batch(
    streams: Streams,
    truth: Sequence[torch.Tensor],
    *,
    visual_truth: Sequence[torch.Tensor] | None = None,
    seconds: float = 2.0,
) -> Batch:
    """Clips of nothing but noise; truth is in shares of the clip, and that of both streams unless two are given."""
    generator, num_clips = torch.Generator().manual_seed(1), len(truth)
    made = []
    for spec, own in ((streams.audio, truth), (streams.visual, truth if visual_truth is None else visual_truth)):
        values = torch.randn(num_clips, round(seconds / spec.hop_seconds), spec.dim, generator=generator)
        made.append(StreamBatch(values, torch.ones(values.shape[:2], dtype=torch.bool), spec.hop_seconds, tuple(own)))
    return Batch(*made, torch.full((num_clips,), seconds), tuple(f"clip {row}" for row in range(num_clips)))


def shifted_batch(streams: Streams, num_clips: int = 6, seconds: float = 2.0) -> Batch:
    """Every third clip is genuine, one has a forged sound, one a forged picture: its cells are shifted by 1.5."""
    generator = torch.Generator().manual_seed(3)
    truth = [torch.tensor([[0.3, 0.6]]) if row % 3 else GENUINE for row in range(num_clips)]
    made = []
    for spec, forged in ((streams.audio, 1), (streams.visual, 2)):
        length = round(seconds / spec.hop_seconds)
        values = torch.randn(num_clips, length, spec.dim, generator=generator)
        own = tuple(one if row % 3 == forged else GENUINE for row, one in enumerate(truth))
        for row, segments in enumerate(own):
            for start, end in segments.tolist():
                values[row, round(start * length) : round(end * length)] += 1.5
        valid = torch.ones(num_clips, length, dtype=torch.bool)
        fine = (values, valid, spec.fine_hop_seconds) if spec.fine_dim else ()
        made.append(StreamBatch(values, valid, spec.hop_seconds, own, *fine))
    return Batch(*made, torch.full((num_clips,), seconds), tuple(f"clip {row}" for row in range(num_clips)))


def forged_batch(
    streams: Streams,
    seconds: Sequence[float],
    truth: Mapping[Modality, Truth],
    *,
    strength: float = 1.0,
    silent: Sequence[int] = (),
    blind: Sequence[int] = (),
) -> Batch:
    """Noise with a direction of its own in the cells of a forgery, in proportion to how much of a cell it covers.

    Clips of `silent` have no sound, those of `blind` no picture.
    """
    audio, visual = (
        _forged_stream(streams.of(modality), seconds, truth[modality], absent, seed=modality.value, strength=strength)
        for modality, absent in ((Modality.AUDIO, silent), (Modality.VISUAL, blind))
    )
    return Batch(audio, visual, torch.tensor(seconds), tuple(f"clip {row}" for row in range(len(seconds))))


def _forged_stream(
    spec: StreamSpec, seconds: Sequence[float], truth: Truth, absent: Sequence[int], *, seed: int, strength: float
) -> StreamBatch:
    track = functools.partial(_forged_track, seconds, truth, absent, strength=strength)
    shares = tuple(
        torch.tensor([] if row in absent else segments, dtype=torch.float32).reshape(-1, 2) / length
        for row, (segments, length) in enumerate(zip(truth, seconds, strict=True))
    )
    main = track(dim=spec.dim, hop_seconds=spec.hop_seconds, seed=seed)
    if not spec.fine_dim:
        return StreamBatch(*main, spec.hop_seconds, shares)
    fine = track(dim=spec.fine_dim, hop_seconds=spec.fine_hop_seconds, seed=seed + 10)
    return StreamBatch(*main, spec.hop_seconds, shares, *fine, spec.fine_hop_seconds)


def _forged_track(
    seconds: Sequence[float],
    truth: Truth,
    absent: Sequence[int],
    *,
    dim: int,
    hop_seconds: float,
    seed: int,
    strength: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    direction = strength * rng.standard_normal(dim)
    grids = [TimeGrid(hop_seconds, 0 if row in absent else round(s / hop_seconds)) for row, s in enumerate(seconds)]
    values = torch.zeros(len(seconds), max(1, *(grid.num_cells for grid in grids)), dim)
    valid = torch.zeros(values.shape[:2], dtype=torch.bool)
    for row, (grid, segments) in enumerate(zip(grids, truth, strict=True)):
        edges, features = grid.edges(), rng.standard_normal((grid.num_cells, dim))
        for start, end in segments:
            cover = np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start), 0.0, None) / hop_seconds
            features += cover[:, None] * direction
        values[row, : grid.num_cells], valid[row, : grid.num_cells] = torch.from_numpy(features), True
    return values, valid


# ---- the same clips, placed otherwise


def chosen(given: Batch, rows: Sequence[int]) -> Batch:
    """Some of the clips, padded to the longest of them."""
    index = torch.tensor(list(rows))
    return replace(
        given,
        audio=_chosen(given.audio, index),
        visual=_chosen(given.visual, index),
        duration_seconds=given.duration_seconds[index],
        video_ids=tuple(given.video_ids[row] for row in rows),
    )


def _chosen(given: StreamBatch, index: torch.Tensor) -> StreamBatch:
    def cut(values: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        num_cells = max(1, int(valid[index].sum(dim=1).max()))
        return values[index, :num_cells], valid[index, :num_cells]

    values, valid = cut(given.values, given.valid)
    truth = tuple(given.truth[row] for row in index.tolist())
    if given.fine_values is None or given.fine_valid is None:
        return replace(given, values=values, valid=valid, truth=truth)
    fine_values, fine_valid = cut(given.fine_values, given.fine_valid)
    return replace(given, values=values, valid=valid, truth=truth, fine_values=fine_values, fine_valid=fine_valid)


def padded(given: Batch, before: int, after: int) -> Batch:
    """The same clips, later in a longer padding that is filled with what must not be read."""
    return replace(given, audio=_padded(given.audio, before, after), visual=_padded(given.visual, before, after))


def _padded(given: StreamBatch, before: int, after: int) -> StreamBatch:
    def widened(values: torch.Tensor, valid: torch.Tensor, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows, cells, dim = values.shape
        wide = torch.full((rows, cells + scale * (before + after), dim), 77.0)
        seen = torch.zeros(wide.shape[:2], dtype=torch.bool)
        place = slice(scale * before, scale * before + cells)
        wide[:, place] = torch.where(valid[..., None], values, 77.0)
        seen[:, place] = valid
        return wide, seen

    values, valid = widened(given.values, given.valid, 1)
    if given.fine_values is None or given.fine_valid is None:
        return replace(given, values=values, valid=valid)
    fine_values, fine_valid = widened(given.fine_values, given.fine_valid, 4)
    return replace(given, values=values, valid=valid, fine_values=fine_values, fine_valid=fine_valid)
