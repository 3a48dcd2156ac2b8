"""What a Prefect server is told of us: pools with queues, automations, job templates; as often as wanted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.states import Scheduled
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.base import BaseJobConfiguration

from flows.automations import ALERT_VARIABLE, read_automations, register_automations
from flows.pools import DEPLOYMENTS, POOLS_FILE, Pool, Queue, job_template, read_pools, register_pool
from tasks import gpu
from tasks.policy import gpu_slot

CONTAINERS = ("docker", "kubernetes")


@pytest.fixture
def client(prefect_server: None) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


def some_pool(**changes: Any) -> Pool:
    queues = (Queue(name="urgent", priority=1), Queue(name="default", priority=2, limit=1))
    return Pool(**{"name": "some", "description": "", "queues": queues} | changes)


def queues_of(client: SyncPrefectClient, pool: str) -> dict[str, tuple[int, int | None]]:
    return {one.name: (one.priority, one.concurrency_limit) for one in client.read_work_queues(work_pool_name=pool)}


def test_pools_and_queues_are_made_once_and_mended(client: SyncPrefectClient):
    pool = read_pools()[1]
    wanted = {"urgent": (1, None), "default": (2, 1), "nightly": (3, 1)}
    register_pool(client, pool, "process")
    made = client.read_work_pool("gpu")
    assert queues_of(client, "gpu") == wanted
    assert made.type == "process"
    assert made.base_job_template["job_configuration"]["command"] == "{{ command }}"

    nightly = client.read_work_queue_by_name("nightly", work_pool_name="gpu")
    client.update_work_queue(nightly.id, priority=1, concurrency_limit=7, is_paused=True)
    register_pool(client, pool, "process")
    assert client.read_work_pool("gpu").id == made.id
    assert queues_of(client, "gpu") == wanted
    assert client.read_work_queue_by_name("nightly", work_pool_name="gpu").is_paused, "paused by hand, and stays so"


@flow
def nothing() -> None:
    """Is scheduled, and never run."""


def test_a_worker_is_given_urgent_runs_first(client: SyncPrefectClient):
    """Whatever was there before; and no more runs of a queue than its limit."""
    queues = read_pools()[1].queues
    register_pool(client, some_pool(name="order", queues=queues), "process")
    came = ["nightly", "nightly", "default", "default", "urgent", "urgent"]
    for place, queue in enumerate(came):
        at = datetime.now(UTC) - timedelta(minutes=len(came) - place)
        client.create_flow_run(
            nothing,
            name=f"{queue} {place}",
            state=Scheduled(scheduled_time=at),
            work_pool_name="order",
            work_queue_name=queue,
        )
    given = [one.flow_run.name for one in client.get_scheduled_flow_runs_for_work_pool("order")]
    assert given == ["urgent 4", "urgent 5", "default 2", "nightly 0"]


def test_a_pool_of_another_type_is_refused(client: SyncPrefectClient):
    client.create_work_pool(WorkPoolCreate(name="some", type="process"))
    with pytest.raises(ValueError, match="the work pool some is of type process, wanted docker; delete it first"):
        register_pool(client, some_pool(), "docker")


def test_pools_that_cannot_be_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="in the order of their priorities"):
        some_pool(queues=(Queue(name="default", priority=2),))
    with pytest.raises(ValueError, match="needs a queue 'default'"):
        some_pool(queues=(Queue(name="urgent", priority=1),))
    with pytest.raises(ValueError, match="no variable 'gpu'; it has"):
        job_template(some_pool(templates={"kubernetes": {"gpu": 1}}), "kubernetes")
    path = tmp_path / "pools.yaml"
    path.write_text(POOLS_FILE.read_text().replace("priority: 3", "prio: 3"))
    with pytest.raises(ValueError, match="prio"):
        read_pools(path)


def test_every_deployment_has_its_pool_and_queue():
    queues = {(pool.name, queue.name) for pool in read_pools() for queue in pool.queues}
    entries = yaml.safe_load((DEPLOYMENTS / "prefect.yaml").read_text())["deployments"]
    places: dict[str, set[tuple[str, str]]] = {}
    for entry in entries:
        flow = entry["entrypoint"].split(":")[1]
        places.setdefault(flow, set()).add((entry["work_pool"]["name"], entry["work_pool"]["work_queue_name"]))
    assert set().union(*places.values()) <= queues
    assert places["localize"] == {("gpu", "urgent")}
    assert places["retrain"] == {("gpu", "nightly")}
    assert places["train"] == {("gpu", "default")}
    assert places["extract"] == {("cpu", "default"), ("gpu", "default")}


@pytest.mark.parametrize("pool", read_pools(), ids=lambda pool: pool.name)
@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_job_template_is_one_that_prefect_takes(kind: str, pool: Pool, client: SyncPrefectClient):
    """Prefect's server checks defaults; its own template of that kind says what a worker knows."""
    template = job_template(pool, kind)
    schema = template["variables"]
    jsonschema.Draft202012Validator.check_schema(schema)
    defaults = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
    jsonschema.Draft202012Validator(schema).validate(defaults)
    used = {found.name for found in find_placeholders(template["job_configuration"])}
    assert used == set(schema["properties"]), "every variable is used, and there is no other"
    (known,) = (each[kind] for each in client.read_worker_metadata().values() if kind in each)
    known_names = set(known["default_base_job_configuration"]["job_configuration"])
    assert set(template["job_configuration"]) - known_names <= {"container_create_kwargs"}, "younger than 3.8's list"
    register_pool(client, Pool(name=f"{kind}-{pool.name}", description="", queues=pool.queues), kind)


def test_the_gpu_pool_asks_for_a_gpu_and_the_cpu_pool_does_not():
    gpus = {}
    for pool in read_pools():
        template = job_template(pool, "kubernetes")
        values = BaseJobConfiguration._get_base_config_defaults(template["variables"]["properties"])
        manifest = apply_values(template["job_configuration"]["job_manifest"], {"name": "x", **values})
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        gpus[pool.name] = container["resources"]["limits"]["nvidia.com/gpu"]
        docker = job_template(pool, "docker")["variables"]["properties"]["container_create_kwargs"]["default"]
        assert ("device_requests" in docker) == (pool.name == "gpu")
    assert gpus == {"cpu": 0, "gpu": 1}


def test_automations_are_made_once_and_mended(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ALERT_VARIABLE, raising=False)
    names = register_automations(client)
    first = {name: client.read_automations_by_name(name) for name in names}
    assert all(len(found) == 1 for found in first.values())
    assert {action.type for action in first["iamsb: a run failed"][0].actions} == {"do-nothing"}

    failed, late = first["iamsb: a run failed"][0], first["iamsb: a run is late"][0]
    client.pause_automation(late.id)
    by_hand = failed.model_dump(exclude={"id", "owner_resource"}) | {"description": "by hand"}
    client.update_automation(failed.id, AutomationCore.model_validate(by_hand))
    monkeypatch.setenv(ALERT_VARIABLE, "http://127.0.0.1:9/hook")
    assert register_automations(client) == names
    again = {name: client.read_automations_by_name(name) for name in names}
    assert {name: found[0].id for name, found in again.items()} == {name: one[0].id for name, one in first.items()}
    assert again["iamsb: a run failed"][0].description == failed.description
    assert again["iamsb: a run failed"][0].actions[0].type == "call-webhook"
    assert not again["iamsb: a run is late"][0].enabled, "paused by hand, and stays so"

    monkeypatch.delenv(ALERT_VARIABLE)
    register_automations(client)
    kept = client.read_automations_by_name("iamsb: a run failed")[0]
    assert kept.actions[0].type == "call-webhook", "the address given before is kept"
    monkeypatch.setenv(ALERT_VARIABLE, "")
    register_automations(client)
    off = client.read_automations_by_name("iamsb: a run failed")[0]
    assert off.actions[0].type == "do-nothing", "an empty address turns alerts off"


def test_automations_that_cannot_be_are_refused(tmp_path: Path, client: SyncPrefectClient, monkeypatch: Any):
    path = tmp_path / "automations.yaml"
    path.write_text("automations: [{name: odd, trigger: {type: nonsense}, actions: []}]")
    with pytest.raises(ValueError, match=r"automations\.yaml: Prefect does not take 'odd'"):
        read_automations(None, path)
    monkeypatch.setenv(ALERT_VARIABLE, "hooks.example")
    with pytest.raises(ValueError, match=r"must be an http or https address, got 'hooks\.example'"):
        register_automations(client)


class OneGpu:
    """torch.cuda's answer where there is one GPU."""

    uuid = "1a2b3c4d-0000-0000-0000-000000000000"


def test_each_gpu_has_a_slot_of_its_own(client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: OneGpu())
    monkeypatch.setenv("PREFECT_API_URL", "as in the harness")
    monkeypatch.delenv("IAMSB_OWNER", raising=False)
    gpu.make_limit.cache_clear()
    with gpu_slot("cuda"), gpu_slot("cuda:0", urgent=True):
        held = {name: client.read_global_concurrency_limit_by_name(name) for name in ("gpu-1a2b3c4d",)}
        assert held["gpu-1a2b3c4d"].active_slots == 1, "held by the training"
        urgent = client.read_global_concurrency_limit_by_name("gpu-1a2b3c4d-urgent")
        assert (urgent.limit, urgent.active_slots) == (1, 1), "beside it there is room for an analyst"
    with gpu_slot("cpu"):
        pass
    assert client.read_global_concurrency_limit_by_name("gpu-1a2b3c4d").active_slots == 0


def test_how_busy_gpus_are_is_read_from_the_drivers_lines():
    assert gpu.mean_use("40\n80\n") == 60.0
    assert gpu.mean_use("[N/A]\n") is None
    assert gpu.mean_use("") is None
