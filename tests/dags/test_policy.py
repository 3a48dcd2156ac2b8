"""What we rely on in Prefect: content-addressed caching, retries that know a user's fault, failures that show."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from iamsb_core.digest import digest
from tasks.policy import (
    DASK_VARIABLE,
    MAX_WORKERS_VARIABLE,
    RESOURCES_VARIABLE,
    ByContent,
    device_here,
    gpu_slot,
    runner,
    worker_resources,
    worth_retrying,
)

pytestmark = pytest.mark.usefixtures("prefect_server")


@dataclass(frozen=True)
class Job:
    """An input with an address: `note` does not count."""

    content: int
    note: str = ""

    @property
    def digest(self) -> str:
        return digest(self.content)


@dataclass
class Counter:
    calls: list[int] = field(default_factory=list)


COUNTER = Counter()


@task(cache_policy=ByContent(), persist_result=True, result_serializer="json")
def work(job: Job) -> dict[str, int]:
    COUNTER.calls.append(job.content)
    return {"doubled": 2 * job.content}


@flow
def cached(jobs: list[Job], stale: tuple[int, ...] = ()) -> list[tuple[str, dict[str, int]]]:
    futures = [work.with_options(refresh_cache=job.content in stale).submit(job) for job in jobs]
    results = [future.result() for future in futures]
    return [(future.state.name, result) for future, result in zip(futures, results, strict=True)]


def test_equal_content_is_cached_and_a_stale_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    first = cached([Job(1), Job(2)])
    again = cached([Job(1, note="elsewhere"), Job(2)])
    stale = cached([Job(1), Job(2)], stale=(2,))
    assert [name for name, _ in first] == ["Completed", "Completed"]
    assert [name for name, _ in again] == ["Cached", "Cached"]
    assert [name for name, _ in stale] == ["Cached", "Completed"]
    assert sorted(COUNTER.calls) == [1, 2, 2]
    assert [result for _, result in again] == [{"doubled": 2}, {"doubled": 4}]
    assert not list(tmp_path.iterdir()), "nothing is written to the current folder"


@task
def failing(number: int) -> int:
    if number == 2:
        raise RuntimeError("number 2 fails")
    return number


@flow(validate_parameters=False)
def swallowing() -> str:
    failing.map([1, 2]).wait()
    return "ok"


@flow
def resolving() -> list[int]:
    return [future.result() for future in failing.map([1, 2])]


def test_only_resolved_futures_fail_a_flow():
    assert swallowing(return_state=True).is_completed()
    assert resolving(return_state=True).is_failed()


TRIES: list[str] = []


@task(retries=2, retry_delay_seconds=0, retry_condition_fn=worth_retrying)
def raising(kind: str) -> None:
    TRIES.append(kind)
    raise {"users": ValueError, "machines": OSError}[kind](kind)


@flow
def retrying(kind: str) -> None:
    raising(kind)


@pytest.mark.parametrize(("kind", "tries"), [("users", 1), ("machines", 3)])
def test_a_users_fault_is_not_tried_again(kind: str, tries: int):
    TRIES.clear()
    assert retrying(kind, return_state=True).is_failed()
    assert [kind] * tries == TRIES


def test_runner_is_what_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(DASK_VARIABLE, raising=False)
    monkeypatch.setenv(MAX_WORKERS_VARIABLE, "3")
    assert isinstance(runner(), ThreadPoolTaskRunner)
    assert runner()._max_workers == 3
    assert runner(max_workers=1)._max_workers == 1
    monkeypatch.setenv(MAX_WORKERS_VARIABLE, "many")
    with pytest.raises(ValueError, match="must be 1 or more, got 'many'"):
        runner()
    assert type(runner(dask_address="tcp://127.0.0.1:1")).__name__ == "DaskTaskRunner"


def test_tasks_take_what_their_dask_worker_has(monkeypatch: pytest.MonkeyPatch):
    import dask  # noqa: PLC0415 - a second to import

    monkeypatch.delenv(RESOURCES_VARIABLE, raising=False)
    threads, cluster = runner(1), runner(dask_address="tcp://127.0.0.1:1")

    def taken(task_runner: TaskRunner[Any], device: str) -> dict[str, float]:
        with worker_resources(task_runner, device):
            return dask.get_annotations().get("resources", {})

    assert taken(cluster, "cuda") == taken(cluster, "cuda:1") == {"GPU": 1.0}
    assert taken(cluster, "cpu") == taken(cluster, "auto") == taken(threads, "cuda") == {}
    monkeypatch.setenv(RESOURCES_VARIABLE, "GPU=1,MEMORY=8e9")
    assert taken(cluster, "cpu") == {"GPU": 1.0, "MEMORY": 8e9}
    monkeypatch.setenv(RESOURCES_VARIABLE, "GPU")
    with pytest.raises(ValueError, match="must be like GPU=1,MEMORY=8e9, got 'GPU'"):
        taken(cluster, "cpu")
    assert device_here("auto", cluster) == "auto", "each worker looks at its own machine"
    assert device_here("cpu", threads) == "cpu"


def test_the_slot_is_free_without_a_server_or_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with gpu_slot("cuda"), gpu_slot("cpu"):
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
        with gpu_slot("cpu"):
            pass
