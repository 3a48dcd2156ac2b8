"""Rows that an encoder computes, and the cells that they stand for: chunks with context, and the step to a grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.timeline import FeatureTrack, TimeGrid

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of rows to keep, and the wider run that it is computed from."""

    keep: slice
    read: slice

    @property
    def inside(self) -> slice:
        """Where the kept rows lie in what was read."""
        return slice(self.keep.start - self.read.start, self.keep.stop - self.read.start)


def chunks(num_rows: int, *, max_rows: int, context_rows: int, beyond: bool = False) -> Iterator[Chunk]:
    """Split rows [0, num_rows) into equal runs of at most max_rows, each read with context_rows on both sides.

    The context ends at the ends of the clip, unless `beyond`: then it may reach past them, and the caller says what
    lies there.
    """
    num_chunks = max(1, -(-num_rows // max_rows))
    edges = [num_rows * index // num_chunks for index in range(num_chunks + 1)]
    for start, stop in itertools.pairwise(edges):
        first, last = start - context_rows, stop + context_rows
        yield Chunk(slice(start, stop), slice(first, last) if beyond else slice(max(first, 0), min(last, num_rows)))


def buckets(num_rows: Sequence[int], *, max_rows: int, max_padding: float) -> Iterator[list[int]]:
    """The places of clips of such lengths, in batches of like length, shortest first.

    A batch, padded to its longest, has at most max_rows rows (or one clip), and every clip in it is at least
    1 - max_padding times as long as the longest.
    """
    bucket: list[int] = []
    for place in sorted(range(len(num_rows)), key=lambda place: (num_rows[place], place)):
        longest = num_rows[place]
        is_full = longest * (len(bucket) + 1) > max_rows
        if bucket and (is_full or num_rows[bucket[0]] < (1.0 - max_padding) * longest):
            yield bucket
            bucket = []
        bucket.append(place)
    if bucket:
        yield bucket


def gathered(num_rows: int, pieces: Iterable[tuple[slice, Mapping[str, NDArray[np.float32]]]]) -> dict[str, Rows]:
    """Named blocks (num_rows, columns) out of runs of their rows.

    The blocks are made at the first piece: small arrays that were kept from every pass, between the large ones that
    each pass makes and frees, would keep the allocator from using that memory again.
    """
    blocks: dict[str, Rows] = {}
    for rows, piece in pieces:
        for name, values in piece.items():
            block = blocks.setdefault(name, np.empty((num_rows, values.shape[1]), dtype=np.float32))
            block[rows] = values
    return blocks


def on_grid(rows: NDArray[np.float32], grid: TimeGrid) -> FeatureTrack:
    """Row r becomes cell r; a cell that has no row of its own takes the last row.

    rows: (R, dim), R >= 1. Raises ValueError where more than one cell would be missing a row: such an encoder's
    clock is not the grid's.
    """
    num_missing = grid.num_cells - len(rows)
    if num_missing > 1 or len(rows) == 0:
        raise ValueError(f"{len(rows)} rows cannot fill {grid.num_cells} cells of {grid.hop_seconds} s")
    values = rows[: grid.num_cells] if num_missing <= 0 else np.concatenate([rows, rows[-1:]])
    return FeatureTrack(np.ascontiguousarray(values, dtype=np.float32), grid)


def mirrored(samples: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Samples [start, stop) of a signal that goes on past its ends as its own mirror image.

    What lies beyond the ends is then as loud as the signal itself, and any window of it is the same however the
    signal is cut into chunks. An empty signal is silence.
    """
    num_samples = len(samples)
    if num_samples == 0:
        return np.zeros(stop - start, dtype=np.float32)
    if start >= 0 and stop <= num_samples:
        return samples[start:stop]
    index = np.arange(start, stop) % (2 * num_samples)
    return samples[np.where(index < num_samples, index, 2 * num_samples - 1 - index)]


def reflected(start: int, stop: int, num_rows: int) -> NDArray[np.int64]:
    """Which rows stand for rows [start, stop) of a clip that runs back and forth: -1 is row 1, the end not repeated.

    A repeated end would look like a frozen picture.
    """
    if num_rows == 1:
        return np.zeros(stop - start, dtype=np.int64)
    index = np.arange(start, stop) % (2 * num_rows - 2)
    return np.where(index < num_rows, index, 2 * num_rows - 2 - index)
