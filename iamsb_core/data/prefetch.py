"""The next batches are read while the present one is trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def prefetched(items: Iterator[T], *, depth: int = 2) -> Generator[T, None, None]:
    """The same items in the same order, made by a thread that stays at most `depth` ahead.

    An error in the thread is raised here, in the item's place. The thread computes alone, however many threads this
    one computes with: a second team of them would take the cores from the first.
    """
    end = object()
    num_threads = torch.get_num_threads()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        pool.submit(torch.set_num_threads, 1).result()
        torch.set_num_threads(num_threads)  # what the thread said is of itself, and else the default of later threads
        ahead = deque(pool.submit(next, items, end) for _ in range(depth))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(pool.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            pool.shutdown(cancel_futures=True)
