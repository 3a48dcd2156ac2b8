"""Read rows of a ragged array straight from its shard files or objects, each chunk checked against its CRC-32C.

This reads what zarr writes (Zarr v3, sharding codec with its index at the end, uncompressed chunks), without zarr:
many times faster for one clip, and safe in threads and forked workers, since no event loop is involved. A test reads
the same rows through zarr and compares. Files are mapped (`storage.mapped`), objects fetched (`storage.fetched`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import DamagedFeaturesError
from storage.fetched import FetchedShard
from storage.mapped import MappedShard, ShardState
from storage.objects import ObjectPath, Place, is_below
from storage.ragged import RaggedLayout

Shard = MappedShard | FetchedShard
_Key = tuple[Place, int]
"""an array's folder and the number of a shard in it"""
_OUT_OF_ROOM = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class OpenShards:
    """The most recently used shards, kept open; safe in threads.

    A file takes two descriptors and its size of address space (64 MB); where either runs out, all others are let go.
    """

    def __init__(self, max_files: int = 128) -> None:
        self._max_files = max_files
        self._shards: OrderedDict[_Key, Shard] = OrderedDict()
        self._states: dict[_Key, ShardState] = {}
        """of files, those that were let go too"""
        self._lock = threading.Lock()

    def read_rows(self, array: Place, layout: RaggedLayout, first: int, last: int) -> NDArray[Any]:
        """Rows [first, last) of the array in that folder, (last - first, dim), in memory of their own.

        Raises DamagedFeaturesError, and FileNotFoundError where a shard is not there.
        """
        rows = np.empty((last - first, layout.dim), np.dtype(layout.dtype).newbyteorder("<"))
        row = 0
        for piece in self.pieces(array, layout, first, last):
            rows[row : row + len(piece)] = piece
            row += len(piece)
        return rows

    def pieces(self, array: Place, layout: RaggedLayout, first: int, last: int) -> Iterator[NDArray[Any]]:
        """Rows [first, last) as read-only views, to be copied before long: a view keeps its file mapped.

        Raises as `read_rows` does.
        """
        for shard, start, stop in _parts(layout, first, last):
            yield from self._pieces((array, shard), layout, start, stop)

    def will_need(self, wanted: Iterable[tuple[Place, RaggedLayout, int, int]]) -> None:
        """A hint that these rows are read soon, in the order of the files; what cannot be read is not told here."""
        parts = [
            (str(array), shard, start, stop, array, layout)
            for array, layout, first, last in wanted
            if not isinstance(array, ObjectPath)
            for shard, start, stop in _parts(layout, first, last)
        ]
        for _, shard, start, stop, array, layout in sorted(parts, key=lambda part: part[:3]):
            with contextlib.suppress(OSError, DamagedFeaturesError):
                self._open((array, shard), layout).will_need(start, stop)

    def forget(self, path: Place) -> None:
        """Let go of every shard below a folder."""
        with self._lock:
            # another kind of place is never below
            for key in [key for key in self._shards if is_below(key[0], path)]:
                del self._shards[key]
            for key in [key for key in self._states if is_below(key[0], path)]:
                del self._states[key]

    def _pieces(self, key: _Key, layout: RaggedLayout, first: int, last: int) -> list[NDArray[Any]]:
        try:
            return self._open(key, layout).pieces(first, last)
        except DamagedFeaturesError:
            # the pack may have been repaired since this process opened the file: look at the file that is there now
            with self._lock:
                self._shards.pop(key, None)
                self._states.pop(key, None)
            try:
                return self._open(key, layout).pieces(first, last)
            except DamagedFeaturesError:
                _mark(_path(key))
                raise

    def _open(self, key: _Key, layout: RaggedLayout) -> Shard:
        with self._lock:
            if (shard := self._shards.get(key)) is not None:
                self._shards.move_to_end(key)
                return shard
        try:
            shard = self._opened(key, layout)
        except OSError as error:
            if error.errno not in _OUT_OF_ROOM:
                raise
            with self._lock:
                self._shards.clear()
            shard = self._opened(key, layout)
        with self._lock:
            self._shards[key] = shard
            if isinstance(shard, MappedShard):
                self._states[key] = shard.state
            while len(self._shards) > self._max_files:
                self._shards.popitem(last=False)
        return shard

    def _opened(self, key: _Key, layout: RaggedLayout) -> Shard:
        path = _path(key)
        if isinstance(path, ObjectPath):
            return FetchedShard(path, layout)
        return MappedShard(path, layout, self._states.get(key))


def _parts(layout: RaggedLayout, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """The shards of rows [first, last), each with its first and last row of them, counted in the shard."""
    while first < last:
        shard, start = divmod(first, layout.shard_rows)
        stop = min(last - shard * layout.shard_rows, layout.shard_rows)
        yield shard, start, stop
        first = (shard + 1) * layout.shard_rows


def _path(key: _Key) -> Place:
    array, shard = key
    return array / "c" / str(shard) / "0"


def _mark(path: Place) -> None:
    """Take the commit's time from a file that rotted, so that the next extraction reads it, and makes its pack anew."""
    if isinstance(path, ObjectPath):
        return
    with contextlib.suppress(OSError):  # a read-only store stays as it is
        os.utime(path)
