"""How reliably: retries, timeouts, the cache policy, the GPU slot and the runner that every task shares."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Protocol

from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.concurrency.sync import concurrency
from prefect.context import TaskRunContext
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task, exponential_backoff

MAX_WORKERS_VARIABLE = "IAMSB_MAX_WORKERS"
DASK_VARIABLE = "IAMSB_DASK_ADDRESS"
GPU_LIMIT = "gpu"
"""The name of the concurrency limit that `iamsb up` creates: one task at a time on the accelerator."""

NUM_RETRIES = 2
RETRY_DELAYS = exponential_backoff(backoff_factor=2)
RETRY_JITTER = 0.3
TRAIN_TIMEOUT_SECONDS = 14 * 24 * 3600
"""Prefect can interrupt these two, which run in the flow's own thread. A shard of videos runs in a worker thread,
which cannot be interrupted: there every decode has its own limit in a process that is killed."""
PREDICT_TIMEOUT_SECONDS = 2 * 24 * 3600

log = logging.getLogger(__name__)

_LASTING = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AssertionError),
    *(AttributeError, NameError, ImportError),
    *(FileNotFoundError, NotADirectoryError, PermissionError, CancelledError),
)
"""A wrong value, file or line of code is as wrong the next time."""


class Addressed(Protocol):
    """An input that knows the digest of everything its result depends on."""

    @property
    def digest(self) -> str: ...


@dataclass(kw_only=True)
class ByContent(CachePolicy):
    """The cache key is the digest of one input's content: never a path, a date or the text of the code."""

    argument: str = "job"

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **_: Any
    ) -> str | None:
        del flow_parameters
        job: Addressed = inputs[self.argument]
        return f"{task_ctx.task.name}-{job.digest}"


def worth_retrying(task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failure may pass: a lost disk or server may come back, memory may be free again."""
    try:
        state.result()
    except _LASTING:
        return False
    except Exception as error:
        log.warning("%s failed and is tried again while it may: %s: %s", task.name, type(error).__name__, error)
        return True
    return False


def runner(max_workers: int | None = None, dask_address: str | None = None) -> TaskRunner[Any]:
    """Threads of this process (2, or IAMSB_MAX_WORKERS), or a Dask cluster where an address is given."""
    address = os.environ.get(DASK_VARIABLE) if dask_address is None else dask_address
    if address:
        from prefect_dask import DaskTaskRunner  # noqa: PLC0415 - a second to import, wanted by few

        return DaskTaskRunner(address=address)
    given = os.environ.get(MAX_WORKERS_VARIABLE, "2") if max_workers is None else str(max_workers)
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"the number of parallel shards must be 1 or more, got {given!r}")
    return ThreadPoolTaskRunner(max_workers=int(given))


def resolve_device(name: str) -> str:
    """`auto` is the GPU where there is one. Raises ValueError for a device that this machine lacks."""
    import torch  # noqa: PLC0415 - a second to import

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"no device {name!r}; there are auto, cpu, cuda and cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"no device {name!r} here: {torch.cuda.device_count()} GPUs were found; use auto or cpu")
    return name


@contextlib.contextmanager
def gpu_slot(device: str) -> Iterator[None]:
    """Hold the accelerator's slot where there is one to share: a server that lasts, and a CUDA device."""
    if not device.startswith("cuda") or not os.environ.get("PREFECT_API_URL"):
        yield
        return
    with concurrency(GPU_LIMIT, occupy=1, strict=False):
        yield
