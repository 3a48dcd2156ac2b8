"""Stages that work at the same time: each item goes through a function in threads, and comes out in its turn.

What waits between two stages is bounded, so that a fast stage never runs away from a slow one.
"""

from __future__ import annotations

import contextvars
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T, R = TypeVar("T"), TypeVar("R")


def in_order(
    function: Callable[[T], R], items: Iterable[T], *, num_threads: int, num_ahead: int, name: str
) -> Generator[R, None, None]:
    """The function of each item, in order, made by threads that are at most `num_ahead` items before the taker.

    The items are drawn in the taker's own thread; what is logged in the others is told of the taker's run. An error
    of the function, or of the items, is raised in its turn; where the taker stops early, what has not begun is never
    begun.
    """
    with ThreadPoolExecutor(num_threads, thread_name_prefix=name) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(contextvars.copy_context().run, function, item))
                if len(waiting) > num_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
