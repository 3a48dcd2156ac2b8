"""Ragged arrays: the rows of many clips one after the other in one Zarr array, written a whole shard at a time.

Zarr loses data when one shard is written twice (each write reads, changes and replaces the whole file), so rows wait
in memory until a shard is full. Chunks carry CRC-32C checksums and are not compressed: float16 features shrink by
5 to 10 % under zstd and then take twice as long to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

_CHUNK_BYTES = 256 << 10
_SHARD_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RaggedLayout:
    """How an array lies in its files; part of the pack's attributes, so that reading needs no array metadata."""

    dim: int
    dtype: str
    num_rows: int
    chunk_rows: int
    shard_rows: int

    @property
    def chunk_bytes(self) -> int:
        return self.chunk_rows * self.dim * np.dtype(self.dtype).itemsize

    @property
    def chunks_per_shard(self) -> int:
        return self.shard_rows // self.chunk_rows


def _chunk_rows(row_bytes: int) -> int:
    """The power of two of rows, from 16 to 4096, that comes nearest below the wanted chunk size."""
    return min(4096, max(16, 1 << (_CHUNK_BYTES // row_bytes).bit_length() - 1)) if row_bytes <= _CHUNK_BYTES else 16


class RaggedWriter:
    """Appends the rows of clip after clip to one array of a group."""

    def __init__(self, group: zarr.Group, name: str, dim: int, dtype: str, shard_bytes: int = _SHARD_BYTES) -> None:
        self._group, self._name, self._dim, self._dtype = group, name, dim, np.dtype(dtype)
        row_bytes = dim * self._dtype.itemsize
        self._chunk_rows = _chunk_rows(row_bytes)
        self._shard_rows = max(1, shard_bytes // row_bytes // self._chunk_rows) * self._chunk_rows
        self._array: Any = None
        self._num_written = 0
        self._num_waiting = 0
        self._waiting: list[NDArray[Any]] = []

    def append(self, values: NDArray[Any]) -> None:
        """Add one clip's (num_cells, dim) rows, already of the array's dtype."""
        self._waiting.append(values)
        self._num_waiting += len(values)
        while self._num_waiting >= self._shard_rows:
            self._write(self._shard_rows)

    def close(self) -> RaggedLayout:
        """Write what waits and say how the array lies."""
        if self._num_waiting or self._array is None:
            self._write(self._num_waiting)
        return RaggedLayout(
            dim=self._dim,
            dtype=self._dtype.name,
            num_rows=self._num_written,
            chunk_rows=self._chunk_rows,
            shard_rows=self._shard_rows,
        )

    def _write(self, num_rows: int) -> None:
        rows = np.concatenate(self._waiting) if self._waiting else np.empty((0, self._dim), self._dtype)
        self._waiting = [rows[num_rows:]]
        self._num_waiting -= num_rows
        first, self._num_written = self._num_written, self._num_written + num_rows
        if self._array is None:
            self._array = self._create(num_rows)
        else:
            self._array.resize((self._num_written, self._dim))
        if num_rows:
            self._array[first:] = rows[:num_rows]

    def _create(self, num_rows: int) -> Any:
        if num_rows < self._shard_rows:  # the only shard: no larger than its rows, nor much larger its only chunk
            while self._chunk_rows >= max(32, 2 * num_rows):
                self._chunk_rows //= 2
            self._shard_rows = max(1, -(-num_rows // self._chunk_rows)) * self._chunk_rows
        return self._group.create_array(
            self._name,
            shape=(num_rows, self._dim),
            chunks=(self._chunk_rows, self._dim),
            shards=(self._shard_rows, self._dim),
            dtype=self._dtype,
            compressors=[Crc32cCodec()],
            fill_value=float("nan") if self._dtype.kind == "f" else 0,
            dimension_names=("cell", "feature"),
            config={"write_empty_chunks": True},  # so that a chunk that is not there is damage, never silence
        )


def write_offsets(group: zarr.Group, name: str, num_cells: list[int]) -> None:
    """(N + 1,) int64: clip i owns the rows [offsets[i], offsets[i + 1])."""
    offsets = np.concatenate([[0], np.cumsum(num_cells, dtype=np.int64)]).astype(np.int64)
    array = group.create_array(
        name, shape=offsets.shape, chunks=offsets.shape, dtype=offsets.dtype, compressors=[Crc32cCodec()]
    )
    array[:] = offsets
