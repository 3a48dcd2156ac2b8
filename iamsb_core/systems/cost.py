"""What any system costs: trainable parameters, floating-point operations, time and memory of one clip.

Matrix products, convolutions and attention are counted by torch.utils.flop_counter (a multiply-add is two operations).
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.manifest import STREAMS
from iamsb_core.systems.base import System
from iamsb_core.timeline import TimeGrid

_GIGA = 1e9
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, kw_only=True)
class SystemCost:
    """One clip, from features to proposals, alone in its batch."""

    duration_seconds: float
    num_parameters: int
    """trainable"""
    gflop: float
    """of a forward pass"""
    median_seconds: float
    """wall time from features to proposals, threads as the process has them"""
    peak_bytes: int | None
    """memory above what the process held before: allocated on a GPU, resident on Linux; None elsewhere"""


def measure_cost(
    system: System[Any], streams: Streams, duration_seconds: float, *, device: str = "cpu", num_repeats: int = 5
) -> SystemCost:
    """Measure on random features of that length."""
    system = system.to(device).eval()
    batch = random_batch(streams, duration_seconds).to(torch.device(device))
    run = _localizing(system, batch)
    run()
    peak = peak_bytes(run, device)
    seconds = [_timed(run) for _ in range(num_repeats)]
    return SystemCost(
        duration_seconds=duration_seconds,
        num_parameters=sum(weight.numel() for weight in system.parameters() if weight.requires_grad),
        gflop=count_gflop(lambda: system(batch)),
        median_seconds=float(np.median(seconds)),
        peak_bytes=peak,
    )


def _localizing(system: System[Any], batch: Batch) -> Callable[[], object]:
    @torch.inference_mode()
    def run() -> object:
        return system.propose(system(batch), batch)

    return run


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()  # ends with proposals in the processor's memory, so nothing is still under way
    return time.perf_counter() - began


def peak_bytes(run: Callable[[], object], device: str) -> int | None:
    """Memory of one call above what the process held before, as `SystemCost` says it."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        _give_back_free_memory()
        _CLEAR.write_text("5")  # the kernel forgets the highest resident size so far
    except OSError:
        return None
    before = _status_bytes("VmRSS")
    run()
    return max(0, _status_bytes("VmHWM") - before)


def _give_back_free_memory() -> None:
    """Else what an earlier call freed and glibc kept would serve this one unseen."""
    with contextlib.suppress(AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    assert found is not None, f"the kernel says nothing of {field}"
    return int(found[1]) * 1024


def count_gflop(run: Callable[[], object]) -> float:
    """Operations of one call, 1e9; attention as plain products, which the counter knows on every device."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops()) / _GIGA


def random_batch(streams: Streams, duration_seconds: float) -> Batch:
    """One clip of that length with random features in both streams, the same every time."""
    audio, visual = (_random_stream(streams.of(modality), duration_seconds) for modality in STREAMS)
    return Batch(audio, visual, torch.tensor([duration_seconds]), ("random",))


def _random_stream(spec: StreamSpec, duration_seconds: float) -> StreamBatch:
    generator = torch.Generator().manual_seed(0)
    num_cells = TimeGrid.covering(duration_seconds, spec.hop_seconds).num_cells
    values = torch.randn(1, num_cells, spec.dim, generator=generator)
    valid, truth = torch.ones(1, num_cells, dtype=torch.bool), (torch.zeros(0, 2),)
    if not spec.fine_dim:
        return StreamBatch(values, valid, spec.hop_seconds, truth)
    num_fine = TimeGrid.covering(duration_seconds, spec.fine_hop_seconds).num_cells
    fine = torch.randn(1, num_fine, spec.fine_dim, generator=generator)
    exists = torch.ones(1, num_fine, dtype=torch.bool)
    return StreamBatch(values, valid, spec.hop_seconds, truth, fine, exists, spec.fine_hop_seconds)
