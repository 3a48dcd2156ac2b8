"""Items of different lengths become one padded batch; a missing stream becomes a row that is nowhere valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.data.buffers import Buffers
from iamsb_core.data.dataset import Item, LocatedItem
from iamsb_core.data.rows import LocatedTrack, Rows
from iamsb_core.data.source import located
from iamsb_core.encoders.base import Streams
from iamsb_core.manifest import STREAMS, Modality

_BUFFERS = Buffers()


def collate(items: Sequence[Item], streams: Streams) -> Batch:
    """The items padded to the longest. Raises ValueError where a track's width is not the stream's."""
    tracks = {
        modality: [None if (track := item.tracks[modality]) is None else located(track) for item in items]
        for modality in STREAMS
    }
    return _batch(items, tracks, streams)


def gather(items: Sequence[LocatedItem], streams: Streams) -> Batch:
    """As `collate`, of items whose features are read now: each number is copied once, from its place into the batch.

    Raises what reading raises too.
    """
    return _batch(items, {modality: [item.tracks[modality] for item in items] for modality in STREAMS}, streams)


def _batch(
    items: Sequence[Item] | Sequence[LocatedItem],
    tracks: Mapping[Modality, Sequence[LocatedTrack | None]],
    streams: Streams,
) -> Batch:
    def stream_batch(modality: Modality) -> StreamBatch:
        truth = tuple(_shares(item.truth[modality], item.duration_seconds) for item in items)
        return _stream_batch(tracks[modality], truth, modality, streams)

    return Batch(
        audio=stream_batch(Modality.AUDIO),
        visual=stream_batch(Modality.VISUAL),
        duration_seconds=torch.tensor([item.duration_seconds for item in items], dtype=torch.float32),
        video_ids=tuple(item.video_id for item in items),
    )


def _stream_batch(
    tracks: Sequence[LocatedTrack | None], truth: tuple[Tensor, ...], modality: Modality, streams: Streams
) -> StreamBatch:
    stream = streams.of(modality)
    values, valid = padded([None if track is None else track.main for track in tracks], stream.dim)
    fine_values, fine_valid = None, None
    if stream.fine_dim > 0:
        fine_values, fine_valid = padded([None if track is None else track.fine for track in tracks], stream.fine_dim)
    return StreamBatch(
        values=values,
        valid=valid,
        hop_seconds=stream.hop_seconds,
        truth=truth,
        fine_values=fine_values,
        fine_valid=fine_valid,
        fine_hop_seconds=stream.fine_hop_seconds,
    )


def _shares(truth: np.ndarray, duration_seconds: float) -> Tensor:
    """(K, 2) as shares of the item's duration."""
    return torch.as_tensor(truth / duration_seconds, dtype=torch.float32).clamp(0.0, 1.0)


def padded(tracks: Sequence[Rows | None], dim: int) -> tuple[Tensor, Tensor]:
    """(B, L, dim) values and (B, L) validity. Raises ValueError where a track is not dim wide."""
    lengths = [0 if track is None else track.grid.num_cells for track in tracks]
    values = _BUFFERS.empty((len(tracks), max(1, *lengths), dim))
    valid = np.zeros(values.shape[:2], dtype=bool)
    for row, (track, length) in enumerate(zip(tracks, lengths, strict=True)):
        values[row, length:] = 0.0
        if track is None:
            continue
        if track.dim != dim:
            raise ValueError(f"features are {track.dim} wide, the stream says {dim}; extract with the same encoder")
        track.write(values[row, :length])
        valid[row, :length] = True
    return torch.from_numpy(values), torch.from_numpy(valid)
