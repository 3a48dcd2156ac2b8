"""Work pools and their queues as deployments/pools.yaml declares them, made on a Prefect server, as often as wanted."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml

from iamsb_core.configuration import parse

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

log = logging.getLogger(__name__)

DEPLOYMENTS = Path(__file__).resolve().parent.parent / "deployments"
POOLS_FILE = DEPLOYMENTS / "pools.yaml"
Infrastructure = Literal["process", "docker", "kubernetes"]
"""what a worker starts runs as"""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One line of runs in a pool."""

    name: str
    priority: int
    """1 is taken first"""
    limit: int | None = None
    """runs at once, on all workers; None: any number"""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Runs that the same workers take."""

    name: str
    description: str
    queues: tuple[Queue, ...]
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    """defaults of the job template that this pool changes, by infrastructure"""

    def __post_init__(self) -> None:
        if [queue.priority for queue in self.queues] != list(range(1, len(self.queues) + 1)):
            raise ValueError(f"pool {self.name}: list the queues in the order of their priorities 1, 2, 3, ...")
        if "default" not in {queue.name for queue in self.queues}:
            raise ValueError(f"pool {self.name} needs a queue 'default': Prefect makes one in every pool")


@dataclass(frozen=True, kw_only=True)
class _File:
    pools: tuple[Pool, ...]


def read_pools(path: Path = POOLS_FILE) -> tuple[Pool, ...]:
    """The pools that a file declares. Raises ValueError for what is not known in it."""
    return parse(_File, yaml.safe_load(path.read_text()), where=path.name).pools


def job_template(pool: Pool, infrastructure: Infrastructure) -> dict[str, Any]:
    """Prefect's base job template of a pool: how a worker starts a run, and what a deployment may change of it.

    Raises ValueError where the pool changes a variable that the template does not have.
    """
    if infrastructure == "process":
        from prefect.workers.process import ProcessWorker  # noqa: PLC0415 - a second to import

        return ProcessWorker.get_default_base_job_template()
    file = DEPLOYMENTS / f"{infrastructure}-job-template.json"
    template: dict[str, Any] = json.loads(file.read_text())
    variables = template["variables"]["properties"]
    for name, value in pool.templates.get(infrastructure, {}).items():
        if name not in variables:
            raise ValueError(f"pool {pool.name}: {file.name} has no variable {name!r}; it has {', '.join(variables)}")
        variables[name]["default"] = value
    return template


def register_pool(client: SyncPrefectClient, pool: Pool, infrastructure: Infrastructure) -> None:
    """Make a pool with its queues, or bring it to what is declared; one that is paused stays so.

    Raises ValueError where a pool of that name starts its runs in another way.
    """
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate  # noqa: PLC0415
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    wanted = {"description": pool.description, "base_job_template": job_template(pool, infrastructure)}
    try:
        found = client.read_work_pool(pool.name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=pool.name, type=infrastructure, **wanted))
        log.info("made the work pool %s", pool.name)
    else:
        if found.type != infrastructure:
            raise ValueError(
                f"the work pool {pool.name} is of type {found.type}, wanted {infrastructure}; delete it first: "
                f"prefect work-pool delete {pool.name}"
            )
        client.update_work_pool(pool.name, WorkPoolUpdate(**wanted))
    _register_queues(client, pool)


def _register_queues(client: SyncPrefectClient, pool: Pool) -> None:
    """Prefect keeps priorities distinct by moving other queues back, so each is looked at after the one before it."""
    for queue in pool.queues:
        known = {one.name: one for one in client.read_work_queues(work_pool_name=pool.name)}
        if queue.name not in known:
            client.create_work_queue(
                queue.name, work_pool_name=pool.name, priority=queue.priority, concurrency_limit=queue.limit
            )
            log.info("made the work queue %s of %s", queue.name, pool.name)
        elif (known[queue.name].priority, known[queue.name].concurrency_limit) != (queue.priority, queue.limit):
            identifier = known[queue.name].id
            client.update_work_queue(identifier, priority=queue.priority, concurrency_limit=queue.limit)
