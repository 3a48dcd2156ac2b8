"""A shard in object storage: its rows are fetched by ranges, one request for the chunks of a clip, and checked."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from storage.errors import DamagedFeaturesError
from storage.objects import ObjectPath
from storage.ragged import RaggedLayout
from storage.shard_index import CRC_BYTES, chunk_positions, index_bytes


class FetchedShard:
    """One shard of an array, as an object. Objects are never changed, so its index is fetched once."""

    def __init__(self, path: ObjectPath, layout: RaggedLayout) -> None:
        self._path, self._layout, self._size = path, layout, path.size()
        self._dtype = np.dtype(layout.dtype).newbyteorder("<")
        wanted = min(index_bytes(layout), self._size)
        try:
            tail = path.read_range(self._size - wanted, wanted) if wanted else b""
            self._positions = chunk_positions(tail, layout)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def pieces(self, first: int, last: int) -> list[NDArray[Any]]:
        """Rows [first, last) of this shard, those of each chunk as a read-only view. Raises DamagedFeaturesError."""
        chunk_rows = self._layout.chunk_rows
        chunks = list(range(first // chunk_rows, -(-last // chunk_rows)))
        pieces = []
        for chunk, content in zip(chunks, self._contents(chunks), strict=True):
            start, stop = max(first - chunk * chunk_rows, 0), min(last - chunk * chunk_rows, chunk_rows)
            pieces.append(np.frombuffer(content, self._dtype).reshape(chunk_rows, -1)[start:stop])
        return pieces

    def will_need(self, first: int, last: int) -> None:
        """Nothing: a request brings what is needed."""

    def _contents(self, chunks: list[int]) -> list[bytes]:
        """Of each chunk, checked; those that follow one another in the object come by one request."""
        positions = [self._positions[chunk] for chunk in chunks]
        if min(positions) < 0:
            raise self._damaged("a chunk is missing")
        num_bytes = self._layout.chunk_bytes + CRC_BYTES
        breaks = [place for place, (a, b) in enumerate(pairwise(positions), start=1) if b != a + num_bytes]
        contents = []
        for start, stop in pairwise([0, *breaks, len(chunks)]):
            contents += self._fetched(chunks[start:stop], positions[start], num_bytes)
        return contents

    def _fetched(self, chunks: list[int], position: int, num_bytes: int) -> list[bytes]:
        wanted = len(chunks) * num_bytes
        data = self._path.read_range(position, min(wanted, max(self._size - position, 0)))
        if len(data) != wanted:
            raise self._damaged(f"chunk {chunks[0]} or one behind it is cut short")
        contents = []
        for place, chunk in enumerate(chunks):
            content, stored = (
                data[place * num_bytes : (place + 1) * num_bytes - CRC_BYTES],
                data[(place + 1) * num_bytes - CRC_BYTES : (place + 1) * num_bytes],
            )
            if google_crc32c.value(content) != int.from_bytes(stored, "little"):
                raise self._damaged(f"chunk {chunk} does not match its checksum")
            contents.append(content)
        return contents

    def _damaged(self, problem: str) -> DamagedFeaturesError:
        return DamagedFeaturesError(str(self._path), problem)
