"""Memory of batches: taken again when the last view of an array is gone, and never before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.data.buffers import Buffers

MEBI = 1 << 20


def address(array: np.ndarray) -> int:
    return int(array.ctypes.data)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 17, 5), (16, 430, 1024), (0, 4)])
def test_an_array_has_its_shape_and_begins_on_a_page(shape: tuple[int, ...]) -> None:
    array = Buffers().empty(shape)
    assert (array.shape, array.dtype, address(array) % 4096) == (shape, np.float32, 0)
    array[...] = 1.0
    assert array.flags.c_contiguous


def test_memory_is_used_again_when_nobody_holds_it() -> None:
    buffers = Buffers()
    array = buffers.empty((MEBI // 4,))
    first = address(array)
    del array
    assert buffers.num_free_bytes >= MEBI
    again = buffers.empty((MEBI // 4 - 1000,))
    assert address(again) == first, "a little less is asked for"
    assert buffers.num_free_bytes == 0


@pytest.mark.parametrize("hold", [lambda a: a[3:5], torch.from_numpy, lambda a: torch.from_numpy(a).T[1:], memoryview])
def test_memory_waits_for_every_view_of_it(hold) -> None:
    buffers = Buffers()
    array = buffers.empty((512, 512))
    first, held = address(array), hold(array)
    del array
    assert buffers.num_free_bytes == 0
    other = buffers.empty((512, 512))
    assert address(other) != first
    del held
    assert address(buffers.empty((512, 512))) == first


def test_little_is_not_put_into_much() -> None:
    buffers = Buffers()
    large = buffers.empty((4 * MEBI,))
    first = address(large)
    del large
    assert address(buffers.empty((MEBI,))) != first


def test_what_waits_is_bounded() -> None:
    buffers = Buffers(max_free_bytes=3 * MEBI)
    arrays = [buffers.empty((MEBI // 4,)) for _ in range(8)]
    assert buffers.num_free_bytes == 0
    arrays.clear()
    assert 2 * MEBI <= buffers.num_free_bytes <= 3 * MEBI


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 60_000), st.booleans()), max_size=30))
def test_no_two_arrays_share_memory(steps: list[tuple[int, bool]]) -> None:
    buffers, held = Buffers(), []
    for number, (size, let_go) in enumerate(steps):
        if let_go and held:
            held.pop(number % len(held))
        held.append((number, buffers.empty((size,))))
        held[-1][1][...] = number
        assert all(np.all(array == owner) for owner, array in held)
