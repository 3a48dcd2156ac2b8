"""A shard file in the address space: its rows are read where the kernel holds them, without a copy of their own.

Each chunk is checked against its CRC-32C the first time that this process reads of it, and again when the file or its
size or times have changed since, as they do with every ordinary write, removal or replacement. What is not noticed
here is rot on the disk below a page that was checked, dropped from the page cache and read again: the next process, or
`FeatureStore.verify`, notices that. A disk that cannot give a page of a mapped file ends the process (SIGBUS), where
reading would raise OSError.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from storage.errors import DamagedFeaturesError
from storage.ragged import RaggedLayout
from storage.shard_index import CRC_BYTES, chunk_positions, index_bytes

Stamp = tuple[int, int, int, int]
"""a file's size, number, and times of the last change of content and of anything: what tells that it is another now"""


@dataclass(frozen=True, slots=True, eq=False)
class ShardState:
    """What is known of a file as it was at one time; small enough to be kept when the file is let go."""

    stamp: Stamp
    positions: list[int]
    """of each chunk in the file"""
    is_checked: bytearray
    """of each chunk, whether its checksum was compared"""


class MappedShard:
    """One shard of an array, mapped. The mapping ends when nobody holds this, nor any rows of it, any more.

    known: what an earlier one of the same file knew, where there was one.
    """

    def __init__(self, path: Path, layout: RaggedLayout, known: ShardState | None = None) -> None:
        self._path, self._layout = path, layout
        self._dtype = np.dtype(layout.dtype).newbyteorder("<")
        self._row_bytes = layout.dim * self._dtype.itemsize
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor).atexit = False
        self._lock = threading.Lock()
        self._mapping = self._mapped(self._stamp(), known)

    @property
    def state(self) -> ShardState:
        """What is known of the file by now."""
        return self._mapping[0]

    def pieces(self, first: int, last: int) -> list[NDArray[Any]]:
        """Rows [first, last) of this shard, those of each chunk as a read-only view. Raises DamagedFeaturesError."""
        state, data = self._current()
        chunk_rows = self._layout.chunk_rows
        chunks = range(first // chunk_rows, -(-last // chunk_rows))
        if state.is_checked.find(0, chunks.start, chunks.stop) >= 0:
            self._check(state, data, chunks)
        pieces = []
        for chunk in chunks:
            start, stop = max(first - chunk * chunk_rows, 0), min(last - chunk * chunk_rows, chunk_rows)
            position = state.positions[chunk] + start * self._row_bytes
            shape = (stop - start, self._layout.dim)
            pieces.append(np.ndarray(shape, self._dtype, data, position))
        return pieces

    def will_need(self, first: int, last: int) -> None:
        """A hint that rows [first, last) are read soon: unless the kernel holds their ends, it begins to read them."""
        state, data = self._mapping
        chunk_rows = self._layout.chunk_rows
        start = state.positions[first // chunk_rows] + first % chunk_rows * self._row_bytes
        stop = state.positions[(last - 1) // chunk_rows] + ((last - 1) % chunk_rows + 1) * self._row_bytes
        if not 0 <= start < stop or (self._is_held(start) and self._is_held(stop - 1)):
            return
        start -= start % mmap.PAGESIZE
        with contextlib.suppress(OSError, ValueError):
            data.madvise(mmap.MADV_WILLNEED, start, stop - start)

    def _is_held(self, position: int) -> bool:
        """Whether this byte can be read without the disk; False where the kernel does not tell."""
        try:
            return os.preadv(self._descriptor, [bytearray(1)], position, os.RWF_NOWAIT) == 1
        except (OSError, AttributeError):
            return False

    def _current(self) -> tuple[ShardState, mmap.mmap]:
        """What is known of the file as it is now, and its bytes."""
        mapping, stamp = self._mapping, self._stamp()
        if mapping[0].stamp == stamp:
            return mapping
        with self._lock:
            if self._mapping[0].stamp != stamp:
                self._mapping = self._mapped(stamp, None)
            return self._mapping

    def _stamp(self) -> Stamp:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns

    def _mapped(self, stamp: Stamp, known: ShardState | None) -> tuple[ShardState, mmap.mmap]:
        size, index = stamp[0], index_bytes(self._layout)
        if size < index:
            raise self._damaged("the shard's index is cut short")
        data = mmap.mmap(self._descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        if known is not None and known.stamp == stamp:
            return known, data
        try:
            positions = chunk_positions(data[size - index :], self._layout)
        except ValueError as error:
            raise self._damaged(str(error)) from error
        if any(position + self._layout.chunk_bytes + CRC_BYTES > size for position in positions):
            raise self._damaged("a chunk is cut short")
        return ShardState(stamp, positions, bytearray(len(positions))), data

    def _check(self, state: ShardState, data: mmap.mmap, chunks: range) -> None:
        """Compare the checksums of those of the chunks that were not compared yet."""
        num_bytes = self._layout.chunk_bytes
        self.will_need(chunks.start * self._layout.chunk_rows, chunks.stop * self._layout.chunk_rows)
        for chunk in chunks:
            if state.is_checked[chunk]:
                continue
            position = state.positions[chunk]
            if position < 0:
                raise self._damaged("a chunk is missing")
            content = np.ndarray((num_bytes,), np.uint8, data, position)
            stored = data[position + num_bytes : position + num_bytes + CRC_BYTES]
            if google_crc32c.value(content) != int.from_bytes(stored, "little"):
                raise self._damaged(f"chunk {chunk} does not match its checksum")
            state.is_checked[chunk] = 1

    def _damaged(self, problem: str) -> DamagedFeaturesError:
        return DamagedFeaturesError(str(self._path), problem)
