"""The cores of this machine, shared out among the threads that encode clips on a processor.

An extraction encodes as many clips at once as there are cores. If PyTorch took all cores for each of them as well,
its threads would wait for one another: on two cores that is a sixth more processor time for no gain.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from tasks.policy import num_decoders, num_workers

_lock = threading.Lock()
_num_sharing = 0
_before = 1


@contextlib.contextmanager
def cores_shared(device: str) -> Iterator[None]:
    """Until the block ends, PyTorch takes its share of the cores in threads that begin in it; nothing on a GPU."""
    if device.startswith("cuda"):
        yield
        return
    import torch  # noqa: PLC0415 - a second to import

    global _num_sharing, _before  # noqa: PLW0603 - PyTorch's number of threads is one for the process
    with _lock:
        _num_sharing += 1
        if _num_sharing == 1:
            _before = torch.get_num_threads()
            torch.set_num_threads(min(_before, share_of_cores()))
    try:
        yield
    finally:
        with _lock:
            _num_sharing -= 1
            if not _num_sharing:
                torch.set_num_threads(_before)


def share_of_cores() -> int:
    """Cores for each clip that is encoded at the same time as others."""
    return max(1, (os.cpu_count() or 1) // (num_workers() * num_decoders()))
