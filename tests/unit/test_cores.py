"""Cores shared by clips that are encoded at the same time: how many each takes, and that it ends with the block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tasks.cores import cores_shared, share_of_cores
from tasks.policy import DECODERS_VARIABLE, MAX_WORKERS_VARIABLE


@pytest.fixture(autouse=True)
def eight_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.mark.parametrize(("workers", "decoders", "share"), [("2", "4", 1), ("1", "2", 4), ("3", "1", 2), ("9", "9", 1)])
def test_share_is_the_cores_over_the_clips_at_a_time(
    workers: str, decoders: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MAX_WORKERS_VARIABLE, workers)
    monkeypatch.setenv(DECODERS_VARIABLE, decoders)
    assert share_of_cores() == share


def test_threads_within_take_the_share_and_those_after_all_again() -> None:
    with cores_shared("cpu"):
        assert (torch.get_num_threads(), threads_of_a_new_thread()) == (1, 1)
        with cores_shared("cpu"):
            pass
        assert threads_of_a_new_thread() == 1
    assert (torch.get_num_threads(), threads_of_a_new_thread()) == (8, 8)


def test_an_error_gives_the_cores_back() -> None:
    with pytest.raises(ValueError, match="mine"), cores_shared("cpu"):
        raise ValueError("mine")
    assert torch.get_num_threads() == 8


def test_a_gpu_leaves_them_alone() -> None:
    with cores_shared("cuda:0"):
        assert torch.get_num_threads() == 8


def test_fewer_than_the_share_stay_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MAX_WORKERS_VARIABLE, "1")
    monkeypatch.setenv(DECODERS_VARIABLE, "1")
    torch.set_num_threads(2)
    with cores_shared("cpu"):
        assert torch.get_num_threads() == 2
