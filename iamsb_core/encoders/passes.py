"""A clip's rows computed a pass at a time; where memory runs out, in passes of half as many rows, and on it goes."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from iamsb_core.encoders.alignment import Chunk, chunks

log = logging.getLogger(__name__)

Computed = TypeVar("Computed")

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
"""what PyTorch and CUDA's libraries say in a plain RuntimeError"""


class Passes:
    """How many rows are computed at once: halved when memory runs out, and it stays halved."""

    def __init__(self, max_rows: int, *, context_rows: int = 0, beyond: bool = False) -> None:
        """The arguments of `iamsb_core.encoders.alignment.chunks`."""
        self.max_rows = max_rows
        self._context_rows, self._beyond = context_rows, beyond

    def over(self, num_rows: int, compute: Callable[[Chunk], Computed]) -> Iterator[tuple[Chunk, Computed]]:
        """What compute gives for each pass, in order. Raises MemoryError where there is no room for one row.

        compute must give the same for a row whatever pass it is in.
        """
        waiting = [chunk.keep for chunk in chunks(num_rows, max_rows=self.max_rows, context_rows=0)]
        while waiting:
            rows = waiting.pop(0)
            if rows.stop - rows.start > self.max_rows:
                waiting[:0] = _halves(rows)
                continue
            chunk = self._chunk(rows, num_rows)
            try:
                found = compute(chunk)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if rows.stop - rows.start < 2:
                    raise MemoryError(f"there is no memory for the smallest pass: {error}") from error
            else:
                yield chunk, found
                continue
            self._halve(rows)  # after the error is gone, and with it everything that the failed pass held
            waiting.insert(0, rows)

    def _chunk(self, rows: slice, num_rows: int) -> Chunk:
        first, last = rows.start - self._context_rows, rows.stop + self._context_rows
        return Chunk(rows, slice(first, last) if self._beyond else slice(max(first, 0), min(last, num_rows)))

    def _halve(self, rows: slice) -> None:
        self.max_rows = (rows.stop - rows.start + 1) // 2
        release_memory()
        log.warning("memory ran out over %d rows; going on with %d at a time", rows.stop - rows.start, self.max_rows)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that there is not enough memory, on the host or on an accelerator."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def release_memory() -> None:
    """Give back what nothing uses any more."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def _halves(rows: slice) -> list[slice]:
    middle = (rows.start + rows.stop) // 2
    return [slice(rows.start, middle), slice(middle, rows.stop)]
