"""Memory of batches, used again once nobody holds the batch: fresh memory costs more than what is written into it.

A batch of 16 clips of WavLM-large's features is 28 MB. The C library gives that back to the system each time, and the
system clears it again page by page, which on a virtual machine takes longer than reading the features does
(`tests/benchmarks/bench_feature_reads.py`).
"""

from __future__ import annotations

import contextlib
import math
import mmap
import threading
import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

_HUGE_BYTES = 4 << 20
"""from here on the kernel is asked for large pages"""


class Buffers:
    """Arrays out of memory that is taken again when the last view of an array, or tensor over it, is gone.

    Safe in threads. At most `max_free_bytes` wait for the next array; what is longest free goes first.
    """

    def __init__(self, *, max_free_bytes: int = 1 << 30) -> None:
        self._max_free_bytes = max_free_bytes
        self._lock = threading.Lock()
        self._free: list[mmap.mmap] = []
        self._returned: deque[mmap.mmap] = deque()
        """by finalisers, which run anywhere, even in a thread that holds the lock"""

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array whose numbers are whatever was there; it begins on a page."""
        block = self._block(4 * math.prod(shape))
        # over a mapping, not another array: views of this one would hold that, and not this, whose end is waited for
        array: NDArray[np.float32] = np.ndarray(shape, np.float32, block)
        weakref.finalize(array, self._returned.append, block).atexit = False
        return array

    @property
    def num_free_bytes(self) -> int:
        """Of memory that waits for the next array."""
        with self._lock:
            self._take_back()
            return sum(len(block) for block in self._free)

    def _block(self, num_bytes: int) -> mmap.mmap:
        """The smallest free one with room, unless more than half of it would lie idle; else a new one."""
        wanted = _capacity(num_bytes)
        with self._lock:
            self._take_back()
            sizes = [len(block) for block in self._free]
            fitting = [size for size in sizes if wanted <= size <= 2 * wanted]
            if fitting:
                return self._free.pop(sizes.index(min(fitting)))
        return _new_block(wanted)

    def _take_back(self) -> None:
        while self._returned:
            self._free.append(self._returned.popleft())
        while sum(len(block) for block in self._free) > self._max_free_bytes:
            self._free.pop(0)


def _new_block(num_bytes: int) -> mmap.mmap:
    block = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if num_bytes >= _HUGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _capacity(num_bytes: int) -> int:
    """Whole pages, rounded up by a quarter at most, so that batches of nearly one length share memory."""
    wanted = max(num_bytes, mmap.PAGESIZE)
    step = max(mmap.PAGESIZE, 1 << (wanted.bit_length() - 3))
    return -(-wanted // step) * step
