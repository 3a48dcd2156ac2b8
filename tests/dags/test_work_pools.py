"""On a real server, with a real worker: urgent work is taken first, and what fails, is late or is lost is told."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from flows import registration
from flows.automations import ALERT_VARIABLE, read_automations
from flows.environment import service_environment
from flows.services import free_port

pytestmark = pytest.mark.slow

T = TypeVar("T")
DEPLOYED = ("nightly", "video", "lavdf", "tvil")
PATIENCE_SECONDS = 900.0
"""for anything to happen: a machine may be very busy"""


def eventually(ask: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (found := ask()) is not None:
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s in vain: {what}")


class Posted(http.server.BaseHTTPRequestHandler):
    """Where alerts are posted to."""

    texts: list[str] = []  # noqa: RUF012 - of the one receiver of these tests

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.texts.append(json.loads(self.rfile.read(length))["text"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def alerts() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Posted) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def stop(process: subprocess.Popen[bytes]) -> None:
    tree = [*psutil.Process(process.pid).children(recursive=True), process]
    for one in tree:
        one.kill()
    process.wait()


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("pools")
    quick = {"PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "2", "PREFECT_WORKER_QUERY_SECONDS": "1"}
    own = {"IAMSB_HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "PREFECT_UI_ENABLED": "0", **quick}
    return service_environment({**os.environ, **own})


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our deployments as far as these tests run them, and our automations on lateness in seconds, not minutes."""
    folder = tmp_path_factory.mktemp("declared")
    everything = yaml.safe_load((registration.DEPLOYMENTS / "prefect.yaml").read_text())
    everything["deployments"] = [one for one in everything["deployments"] if one["name"] in DEPLOYED]
    (folder / "prefect.yaml").write_text(yaml.safe_dump(everything))
    text = (registration.DEPLOYMENTS / "automations.yaml").read_text()
    assert "within: 900" in text
    (folder / "automations.yaml").write_text(text.replace("within: 900", "within: 10"))
    return folder


@pytest.fixture(scope="module")
def api_url(surroundings: dict[str, str], alerts: str, declared: Path) -> Iterator[str]:
    """A server as `iamsb up` starts it, that knows pools, automations and deployments."""
    port = free_port(None, 4700, "Prefect", "--port")
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with temporary_settings({PREFECT_API_URL: url}), pytest.MonkeyPatch.context() as patch:
                patch.setenv(ALERT_VARIABLE, alerts)
                patch.setenv("PREFECT_HOME", surroundings["PREFECT_HOME"])
                patch.setenv("IAMSB_HOME", surroundings["IAMSB_HOME"])
                patch.setattr("flows.automations.read_automations.__defaults__", (declared / "automations.yaml",))
                patch.setattr(registration, "DEPLOYMENTS", declared)
                with get_client(sync_client=True) as client:
                    eventually(lambda: client.api_healthcheck() is None or None, "the server answers")
                registration.register(url)
                yield url
        finally:
            stop(server)


@pytest.fixture
def client(api_url: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as found:
        yield found


@pytest.fixture
def worker(api_url: str, surroundings: dict[str, str]) -> Iterator[Callable[[], None]]:
    """Starts a worker of the GPU pool that runs one run at a time."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--type", "process"]
        environment = {**surroundings, "PREFECT_API_URL": api_url}
        started.append(subprocess.Popen([*command, "--limit", "1"], env=environment, stdout=subprocess.DEVNULL))

    yield start
    for process in started:
        stop(process)


def submit(client: SyncPrefectClient, deployment: str, **parameters: Any) -> FlowRun:
    found = client.read_deployment_by_name(deployment)
    return client.create_flow_run_from_deployment(found.id, parameters=parameters)


def ended(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    def look() -> FlowRun | None:
        now = client.read_flow_run(run.id)
        return now if now.state is not None and now.state.is_final() else None

    return eventually(look, f"{run.name} ends")


def test_an_analysts_localize_overtakes_a_nightly_that_waits(
    client: SyncPrefectClient, worker: Callable[[], None], tiny_dataset: Path, untrained_model: Path, tmp_path: Path
):
    """One slot. A nightly runs, another one waits; then an analyst comes, and is next."""
    nightlies = [submit(client, "retrain/nightly", root=str(tmp_path / "nothing yet")) for _ in range(2)]
    worker()
    first = eventually(
        lambda: next((run for run in nightlies if not client.read_flow_run(run.id).state.is_scheduled()), None),
        "a nightly is taken",
    )
    clip = next(iter(sorted(tiny_dataset.rglob("*.mp4"))))
    urgent = submit(client, "localize/video", videos=[str(clip)], model=str(untrained_model), out=str(tmp_path / "out"))
    (second,) = (run for run in nightlies if run.id != first.id)
    done = {name: ended(client, run) for name, run in (("first", first), ("urgent", urgent), ("second", second))}
    order = sorted(done, key=lambda name: done[name].start_time or datetime.now(UTC))
    assert order == ["first", "urgent", "second"]
    assert all(run.state.is_completed() for run in done.values()), {name: run.state for name, run in done.items()}
    assert done["urgent"].created > done["second"].created, "it came last, and was not last"
    assert (tmp_path / "out" / "report.json").is_file()


def told(*words: str) -> str:
    def look() -> str | None:
        return next((text for text in Posted.texts if all(word in text for word in words)), None)

    return eventually(look, f"an alert with {words}")


def test_a_failed_run_is_told(client: SyncPrefectClient, worker: Callable[[], None], tmp_path: Path):
    worker()
    run = submit(client, "localize/video", videos=[str(tmp_path / 'no "such" clip.mp4')], model=str(tmp_path))
    assert ended(client, run).state.is_failed()
    assert 'no "such" clip.mp4' in told(f"localize (video) run {run.name} ended as Failed")


def test_a_late_run_is_told(client: SyncPrefectClient):
    """Nobody serves the pool `cpu` here."""
    run = submit(client, "extract/lavdf", root="/nowhere")
    assert "has not started" in told(f"extract (lavdf) run {run.name}")


def test_a_run_without_a_sign_of_life_is_called_crashed(client: SyncPrefectClient):
    (lost,) = (one for one in read_automations(None) if one.name == "iamsb: a run is lost")
    assert lost.trigger.within == timedelta(minutes=5)
    soon = lost.model_copy(update={"trigger": lost.trigger.model_copy(update={"within": timedelta(seconds=10)})})
    client.update_automation(client.read_automations_by_name(lost.name)[0].id, soon)
    run = submit(client, "extract/tvil", root="/nowhere")
    client.set_flow_run_state(run.id, Running(), force=True)
    resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
    emit_event("prefect.flow-run.heartbeat", resource=resource)
    now = ended(client, run)
    assert now.state.is_crashed()
    assert "No sign of life" in now.state.message
    assert "ended as Crashed" in told(run.name, "ended as Crashed")
