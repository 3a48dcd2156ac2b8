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

from storage.errors import DamagedFeaturesError
from tasks.gpu import gpu_limit, make_limit

MAX_WORKERS_VARIABLE = "IAMSB_MAX_WORKERS"
DECODERS_VARIABLE = "IAMSB_DECODERS"
DASK_VARIABLE = "IAMSB_DASK_ADDRESS"
RESOURCES_VARIABLE = "IAMSB_DASK_RESOURCES"
GPU_RESOURCE = "GPU"
"""what a Dask worker on a GPU machine is started with: `dask worker ... --resources GPU=1`"""
OWN_SERVER_VARIABLE = "IAMSB_OWNER"
"""set in a command that has a Prefect server of its own, which nobody else asks (flows.environment)"""

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
    *(FileNotFoundError, NotADirectoryError, PermissionError, CancelledError, DamagedFeaturesError),
)
"""A wrong value, file or line of code is as wrong the next time; damaged features are made again by an extraction."""


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
    return ThreadPoolTaskRunner(max_workers=num_workers() if max_workers is None else _checked(max_workers))


def num_decoders() -> int:
    """Decoding processes of one shard: IAMSB_DECODERS, or the cores over the number of shards at a time."""
    given = os.environ.get(DECODERS_VARIABLE)
    if given is not None:
        return _checked(given, "decoding processes")
    return max(1, (os.cpu_count() or 1) // num_workers())


def num_workers() -> int:
    """Shards at a time in this process: IAMSB_MAX_WORKERS, or 2."""
    return _checked(os.environ.get(MAX_WORKERS_VARIABLE, "2"))


def _checked(given: str | int, what: str = "parallel shards") -> int:
    if not str(given).isdecimal() or int(given) < 1:
        raise ValueError(f"the number of {what} must be 1 or more, got {str(given)!r}")
    return int(given)


@contextlib.contextmanager
def worker_resources(task_runner: TaskRunner[Any], device: str) -> Iterator[None]:
    """What each task that is submitted in here takes of its Dask worker's resources while it runs.

    `GPU: 1` for a CUDA device, or what IAMSB_DASK_RESOURCES says, such as `GPU=1,MEMORY=8e9`; nothing elsewhere.
    Raises ValueError where that cannot be read.
    """
    wanted = _wanted_resources(device)
    if isinstance(task_runner, ThreadPoolTaskRunner) or not wanted:
        yield
        return
    import dask  # noqa: PLC0415 - a second to import, wanted by few

    with dask.annotate(resources=wanted):
        yield


def _wanted_resources(device: str) -> dict[str, float]:
    given = os.environ.get(RESOURCES_VARIABLE)
    if given is None:
        return {GPU_RESOURCE: 1.0} if device.startswith("cuda") else {}
    try:
        return {name.strip(): float(amount) for name, amount in (one.split("=") for one in given.split(",") if one)}
    except ValueError:
        raise ValueError(f"{RESOURCES_VARIABLE} must be like GPU=1,MEMORY=8e9, got {given!r}") from None


def device_here(name: str, task_runner: TaskRunner[Any]) -> str:
    """The device by `resolve_device`, but as it is named where tasks run on other machines, which have their own."""
    return resolve_device(name) if isinstance(task_runner, ThreadPoolTaskRunner) else name


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
def gpu_slot(device: str, *, urgent: bool = False) -> Iterator[None]:
    """Hold a GPU's slot where there is one to share: a CUDA device, and a server that outlives this command.

    Each GPU has one slot for long work, and one for an analyst's, which would wait for a training's end otherwise.
    """
    if not device.startswith("cuda") or not os.environ.get("PREFECT_API_URL") or OWN_SERVER_VARIABLE in os.environ:
        yield
        return
    name = gpu_limit(device, urgent=urgent)
    make_limit(name)
    with concurrency(name, occupy=1, strict=False):
        yield
