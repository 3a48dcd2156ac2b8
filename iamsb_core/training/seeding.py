"""Random draws as a function of (seed, step): nothing to save, and a resumed run draws what it would have drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(*numbers: int) -> int:
    """A 63-bit seed that depends on all of the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def seeded(*numbers: int) -> Iterator[torch.Generator]:
    """A CPU generator for the block, with torch's global generators (dropout, initialisation) seeded alike.

    The global generators are put back afterwards.
    """
    seed = derived_seed(*numbers)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)
