"""Write one pack: clips are added one by one, nothing is visible until the commit, then everything is."""

from __future__ import annotations

import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.clips import ClipEntry, ClipRecord
from storage.keys import FORMAT, pack_digest
from storage.pack import FINE_OFFSETS, FINE_VALUES, OFFSETS, VALUES
from storage.quantised import QUANTISED, SCALES_SUFFIX, quantised
from storage.ragged import RaggedLayout, RaggedWriter, write_offsets
from storage.seal import write_seal

log = logging.getLogger(__name__)

StoreDtype = Literal["float16", "float32", "int8"]
"""of the numbers that a store keeps; packs of any of them are read"""
_LIBRARIES = ("iamsb", "numpy", "torch", "torchaudio", "transformers", "zarr")


class PackWriter:
    """Fills one pack in a private folder. One writer per pack: the shard is Zarr's unit of writing.

    `digest` names the pack once it is finished. Raises ValueError where stream and spec are not of one encoder.
    """

    def __init__(self, folder: Path, stream: StreamSpec, spec: EncoderSpec, dtype: str) -> None:
        if stream.encoder_identity != spec.identity:
            raise ValueError(
                f"the stream says encoder {stream.encoder_identity[:12]}, the spec is {spec.identity[:12]}; "
                "pass the encoder's own `stream` and `spec`"
            )
        self.folder = folder
        self.digest = ""
        self._stream, self._spec, self._dtype = stream, spec, np.dtype(dtype)
        self._group = zarr.create_group(str(folder), zarr_format=3)
        self._main = _TrackWriter(self._group, VALUES, stream.dim, dtype)
        self._fine = _TrackWriter(self._group, FINE_VALUES, stream.fine_dim, dtype) if stream.fine_dim else None
        self._records: dict[str, ClipRecord] = {}

    @property
    def num_clips(self) -> int:
        """How many clips were added."""
        return len(self._records)

    def add(self, entry: ClipEntry) -> None:
        """Add one clip; a second clip of the same bytes is left out, features the dtype cannot hold are a failure."""
        if entry.record.sha256 in self._records:
            return
        if entry.track is not None:
            entry = self._append(entry, entry.track)
        self._records[entry.record.sha256] = entry.record

    def _append(self, entry: ClipEntry, track: EncodedTrack) -> ClipEntry:
        duration = entry.record.duration_seconds
        self._check(track.main, self._stream.dim, self._stream.hop_seconds, duration)
        if (track.fine is not None) != (self._fine is not None):
            raise ValueError("a clip's fine track must be there exactly where the stream has one")
        parts = [self._main.cast(track.main.values)]
        if track.fine is not None:
            self._check(track.fine, self._stream.fine_dim, self._stream.fine_hop_seconds, duration)
            assert self._fine is not None
            parts.append(self._fine.cast(track.fine.values))
        if not all(np.isfinite(array).all() for part in parts for array in part):
            return _unusable(entry.record, track, self._dtype.name)
        self._main.append(parts[0])
        if self._fine is not None:
            self._fine.append(parts[1])
        return entry

    def _check(self, track: FeatureTrack, dim: int, hop_seconds: float, duration_seconds: float) -> None:
        wanted = TimeGrid.covering(duration_seconds, hop_seconds).num_cells
        if track.dim != dim or track.grid.hop_seconds != hop_seconds or abs(track.grid.num_cells - wanted) > 1:
            raise ValueError(
                f"got {track.grid.num_cells} cells of {track.grid.hop_seconds} s with {track.dim} numbers each for a "
                f"clip of {duration_seconds} s; the stream wants {wanted} cells of {hop_seconds} s with {dim}"
            )

    def finish(self) -> str:
        """Write the last shards, the offsets and the sealed metadata; returns the pack's digest."""
        records = list(self._records.values())
        arrays = self._main.close()
        write_offsets(self._group, OFFSETS, [record.num_cells for record in records])
        if self._fine is not None:
            arrays |= self._fine.close()
            write_offsets(self._group, FINE_OFFSETS, [record.fine_num_cells for record in records])
        self.digest = pack_digest(self._stream, self._dtype.name, records)
        attributes = {
            "format": FORMAT,
            "pack_digest": self.digest,
            "encoder": plain(self._spec),
            "encoder_identity": self._spec.identity,
            "stream": plain(self._stream),
            "arrays": plain(arrays),
            "versions": {name: version(name) for name in _LIBRARIES},
            "clips": [record.to_plain() for record in records],
        }
        write_seal(self.folder, attributes, int(time.time()))
        return self.digest


class _TrackWriter:
    """One track of clip after clip: an array, and the steps of its bytes beside it where it is quantised."""

    def __init__(self, group: zarr.Group, name: str, dim: int, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        self._writers = {name: RaggedWriter(group, name, dim, dtype)}
        if dtype == QUANTISED:
            self._writers[name + SCALES_SUFFIX] = RaggedWriter(group, name + SCALES_SUFFIX, 1, "float32")

    def cast(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """What is appended to each array, not finite where the dtype cannot hold the values."""
        if self._dtype == QUANTISED:
            return list(quantised(values))
        with np.errstate(over="ignore"):
            return [np.ascontiguousarray(values, dtype=self._dtype)]

    def append(self, parts: list[NDArray[Any]]) -> None:
        for writer, part in zip(self._writers.values(), parts, strict=True):
            writer.append(part)

    def close(self) -> dict[str, RaggedLayout]:
        """How each array lies."""
        return {name: writer.close() for name, writer in self._writers.items()}


def _unusable(record: ClipRecord, track: EncodedTrack, dtype: str) -> ClipEntry:
    """The clip as a failure: its features are not numbers that can be stored."""
    tracks = [track.main] if track.fine is None else [track.main, track.fine]
    if all(np.isfinite(part.values).all() for part in tracks):
        kind = "overflow"
        reason = f"the features do not fit {dtype}; use a store with dtype float32"
    else:
        kind, reason = "not-finite", "the encoder gave values that are not finite numbers"
    log.warning("clip %s (%s): %s", record.video_id, record.sha256[:12], reason)
    hints = {"video_id": record.video_id, "path": record.path, "reader": record.reader, "warnings": record.warnings}
    return ClipEntry.failed(record.sha256, kind=kind, reason=reason, **hints)
