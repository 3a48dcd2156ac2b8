"""Items of different lengths become one padded batch; a missing stream becomes a row that is nowhere valid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.data.dataset import Item
from iamsb_core.encoders.base import Streams
from iamsb_core.manifest import Modality
from iamsb_core.timeline import FeatureTrack


def collate(items: Sequence[Item], streams: Streams) -> Batch:
    """The items padded to the longest. Raises ValueError where a track's width is not the stream's."""
    return Batch(
        audio=_stream_batch(items, Modality.AUDIO, streams),
        visual=_stream_batch(items, Modality.VISUAL, streams),
        duration_seconds=torch.tensor([item.duration_seconds for item in items], dtype=torch.float32),
        video_ids=tuple(item.video_id for item in items),
    )


def _stream_batch(items: Sequence[Item], modality: Modality, streams: Streams) -> StreamBatch:
    stream = streams.of(modality)
    tracks = [item.tracks[modality] for item in items]
    values, valid = _padded([None if track is None else track.main for track in tracks], stream.dim)
    fine_values, fine_valid = None, None
    if stream.fine_dim > 0:
        fine_values, fine_valid = _padded([None if t is None else t.fine for t in tracks], stream.fine_dim)
    return StreamBatch(
        values=values,
        valid=valid,
        hop_seconds=stream.hop_seconds,
        truth=tuple(_shares(item, modality) for item in items),
        fine_values=fine_values,
        fine_valid=fine_valid,
        fine_hop_seconds=stream.fine_hop_seconds,
    )


def _shares(item: Item, modality: Modality) -> Tensor:
    """(K, 2) as shares of the item's duration."""
    return torch.as_tensor(item.truth[modality] / item.duration_seconds, dtype=torch.float32).clamp(0.0, 1.0)


def _padded(tracks: Sequence[FeatureTrack | None], dim: int) -> tuple[Tensor, Tensor]:
    """(B, L, dim) values and (B, L) validity."""
    lengths = [0 if track is None else track.grid.num_cells for track in tracks]
    values = np.zeros((len(tracks), max(1, *lengths), dim), dtype=np.float32)
    valid = np.zeros(values.shape[:2], dtype=bool)
    for row, (track, length) in enumerate(zip(tracks, lengths, strict=True)):
        if track is None:
            continue
        if track.dim != dim:
            raise ValueError(f"features are {track.dim} wide, the stream says {dim}; extract with the same encoder")
        values[row, :length] = track.values
        valid[row, :length] = True
    return torch.from_numpy(values), torch.from_numpy(valid)
