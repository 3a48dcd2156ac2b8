"""Decoding processes that go from shard to shard of an extraction: to start one takes a third of a core second."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from iamsb_core.media.isolation import MediaDecoder

_lock = threading.Lock()
_idle: list[MediaDecoder] = []
_num_keeping = 0


@contextlib.contextmanager
def decoders_kept() -> Iterator[None]:
    """Until the block ends, decoders that a shard of this process hands back wait for the next shard."""
    global _num_keeping  # noqa: PLW0603 - tasks run in threads of the flow's process, and Prefect hands them no object
    with _lock:
        _num_keeping += 1
    try:
        yield
    finally:
        with _lock:
            _num_keeping -= 1
            ended = [] if _num_keeping else [_idle.pop() for _ in range(len(_idle))]
        for decoder in ended:
            decoder.close()


@contextlib.contextmanager
def decoders(number: int) -> Iterator[list[MediaDecoder]]:
    """So many decoders for one shard, of those that wait as far as they go; ended afterwards where none are kept."""
    with _lock:
        taken = [_idle.pop() for _ in range(min(number, len(_idle)))]
    taken += [MediaDecoder() for _ in range(number - len(taken))]
    try:
        yield taken
    finally:
        with _lock:
            if _num_keeping:
                _idle.extend(taken)
                taken = []
        for decoder in taken:
            decoder.close()
