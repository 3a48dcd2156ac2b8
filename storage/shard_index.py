"""The index at the end of a shard, as zarr writes it: where each chunk lies, and a CRC-32C of it all.

Each chunk has a CRC-32C of its own behind it (Zarr v3, sharding codec, chunks not compressed).
"""

from __future__ import annotations

import google_crc32c
import numpy as np

from storage.ragged import RaggedLayout

CRC_BYTES = 4
_ENTRY_BYTES = 16


def index_bytes(layout: RaggedLayout) -> int:
    """How long the index is."""
    return layout.chunks_per_shard * _ENTRY_BYTES + CRC_BYTES


def chunk_positions(data: bytes, layout: RaggedLayout) -> list[int]:
    """Where each chunk begins, -1 for one that is not there, from the file's last bytes. Raises ValueError."""
    if len(data) != index_bytes(layout):
        raise ValueError("the shard's index is cut short")
    if google_crc32c.value(data[:-CRC_BYTES]) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise ValueError("the shard's index does not match its checksum")
    entries = np.frombuffer(data[:-CRC_BYTES], "<u8").reshape(-1, 2)
    is_there = entries[:, 1] == layout.chunk_bytes + CRC_BYTES
    found: list[int] = np.where(is_there, entries[:, 0].astype(np.int64), -1).tolist()
    return found
