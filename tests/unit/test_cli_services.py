"""Which server serves a command, what is left behind by a killed one, and ports."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows import environment
from flows.environment import Orchestrator, is_alive, prepare, process_identity
from flows.services import LOCK_FILE, Ports, Services, free_port
from storage.home import Home
from storage.staging import exclusive


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`prepare` writes to os.environ: give it a copy."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "IAMSB_HOME"):
        os.environ.pop(name, None)


@pytest.fixture
def listener() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def write_services(home: Path, port: int) -> None:
    home.mkdir(parents=True, exist_ok=True)
    me = process_identity(os.getpid())
    (home / "services.json").write_text(
        json.dumps({"prefect": {"url": f"http://127.0.0.1:{port}/api", "identity": me}})
    )


def test_without_anything_flows_run_in_process(tmp_path: Path):
    assert prepare(Home(tmp_path / "home"), for_flows=False) == Orchestrator("in process", None)
    assert os.environ["IAMSB_HOME"] == str(tmp_path / "home")
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "home" / "prefect")
    assert "PREFECT_API_URL" not in os.environ
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert not (tmp_path / "home").exists(), "preparing writes nothing"


def test_a_server_of_the_users_own_wins(tmp_path: Path, listener: socket.socket):
    write_services(tmp_path, listener.getsockname()[1])
    os.environ["PREFECT_API_URL"] = "http://elsewhere:4200/api"
    assert prepare(Home(tmp_path)) == Orchestrator("user's server", "http://elsewhere:4200/api")


def test_running_services_are_used_and_dead_ones_are_not(tmp_path: Path, listener: socket.socket):
    port = listener.getsockname()[1]
    write_services(tmp_path, port)
    assert prepare(Home(tmp_path)) == Orchestrator("services", f"http://127.0.0.1:{port}/api")
    os.environ.pop("PREFECT_API_URL")
    listener.close()
    assert prepare(Home(tmp_path)).mode == "in process"


def test_an_address_file_is_ours_or_the_users(tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    toml = tmp_path / "prefect.toml"
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    ours = f'{environment.ADDRESS_MARK}[api]\nurl = "{url}"\n'
    toml.write_text(ours)
    assert prepare(Home(tmp_path / "other")) == Orchestrator("services", url)
    os.environ.pop("PREFECT_API_URL")
    listener.close()
    assert prepare(Home(tmp_path / "other")).mode == "in process"
    assert not toml.exists(), "the server is gone, so its address must not mislead Prefect"
    toml.write_text('[api]\nurl = "http://mine/api"\n')
    prepare(Home(tmp_path / "other"))
    assert toml.exists()


def test_damaged_state_is_told_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "services.json").write_text("{")
    assert prepare(Home(tmp_path)).mode == "in process"
    assert "`iamsb down` then `iamsb up`" in caplog.text


def stand_in(tmp_path: Path, owner: str) -> subprocess.Popen[bytes]:
    """A process that looks like Prefect's short-lived server of a command."""
    surroundings = os.environ | {environment.OWNER_VARIABLE: owner, "PREFECT_HOME": str(tmp_path / "prefect")}
    sleeping = "import time; time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", sleeping, "prefect.server.api.server:create_app"], env=surroundings)


def test_servers_of_killed_commands_are_ended_and_others_are_not(tmp_path: Path):
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    orphan = stand_in(tmp_path, process_identity(killed.pid))
    served = stand_in(tmp_path, process_identity(os.getpid()))
    elsewhere = stand_in(tmp_path / "other", process_identity(killed.pid))
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        time.sleep(0.2)
        prepare(Home(tmp_path))
        assert orphan.wait(timeout=10) == -signal.SIGTERM
        assert served.poll() is None
        assert elsewhere.poll() is None
    finally:
        for process in (orphan, served, elsewhere):
            process.kill()
            process.wait()


SERVING = """
import time
from flows.environment import prepare
from flows.server import serve
serve(prepare())
print("serving", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_commands_server_ends_with_it(end: signal.Signals, tmp_path: Path):
    surroundings = {**os.environ, "IAMSB_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", SERVING], env=surroundings, stdout=subprocess.PIPE) as command:
        try:
            assert command.stdout is not None
            assert command.stdout.readline() == b"serving\n"
            (server,) = psutil.Process(command.pid).children()
            assert environment.SERVER_MODULE in server.cmdline()
        finally:
            command.send_signal(end)
    _, left = psutil.wait_procs([server], timeout=20)
    assert not left


def test_an_identity_is_more_than_a_number():
    me = process_identity(os.getpid())
    assert is_alive(me)
    pid, started = me.split(":")
    assert not is_alive(f"{pid}:{float(started) - 3600}"), "the number was used again by another process"
    assert not is_alive("999999999:0")
    assert not is_alive("nonsense")


def test_a_busy_port_is_told_or_passed_over(listener: socket.socket):
    busy = listener.getsockname()[1]
    with pytest.raises(ValueError, match=f"port {busy} is taken; give Prefect another with --port"):
        free_port(busy, 4200, "Prefect", "--port")
    assert free_port(None, busy, "Prefect", "--port") > busy


def test_down_stops_whole_trees_and_forgets_them(tmp_path: Path):
    child = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    parent = subprocess.Popen([sys.executable, "-c", f"{child}; time.sleep(60)"])
    while not psutil.Process(parent.pid).children():
        time.sleep(0.05)
    grandchild = psutil.Process(parent.pid).children()[0]
    toml = tmp_path / "prefect.toml"
    toml.write_text('# written by `iamsb up`, removed by `iamsb down`\n[api]\nurl = "http://127.0.0.1:1/api"\n')
    service = {"url": "http://127.0.0.1:1", "identity": process_identity(parent.pid), "prefect_toml": str(toml)}
    (tmp_path / "services.json").write_text(json.dumps({"prefect": service}))
    assert Services(Home(tmp_path)).down() == ["prefect"]
    parent.wait(timeout=5)
    assert not is_alive(service["identity"])
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE
    assert not toml.exists()
    assert not (tmp_path / "services.json").exists()
    assert Services(Home(tmp_path)).down() == []


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


def note_services(home: Path, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    services = {
        name: {"url": "http://127.0.0.1:1/api", "identity": process_identity(process.pid)}
        for name, process in processes.items()
    }
    (home / "services.json").write_text(json.dumps(services))


def test_only_a_whole_set_of_services_counts_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    running = {name: sleeper() for name in ("prefect", "mlflow", "worker-cpu", "worker-gpu")}
    try:
        note_services(tmp_path, running)
        assert set(Services(Home(tmp_path)).up(Ports())) == set(running)
        half = process_identity(running["prefect"].pid)
        note_services(tmp_path, {"prefect": running["prefect"]})
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(RuntimeError, match="prefect ended at once"):
            Services(Home(tmp_path)).up(Ports())
        assert not is_alive(half), "half of the services is stopped first"
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_a_second_start_waits_for_the_first(tmp_path: Path):
    running = {name: sleeper() for name in ("prefect", "mlflow", "worker-cpu", "worker-gpu")}
    found: list[dict[str, dict[str, str]]] = []
    second = threading.Thread(target=lambda: found.append(Services(Home(tmp_path)).up(Ports())))
    try:
        with exclusive(tmp_path / LOCK_FILE):
            second.start()
            second.join(timeout=0.3)
            assert second.is_alive()
            note_services(tmp_path, running)
        second.join(timeout=10)
        assert [set(services) for services in found] == [set(running)]
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def test_a_start_that_fails_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="prefect ended at once with code 1"):
        Services(Home(tmp_path)).up(Ports())
    assert not (tmp_path / "services.json").exists()
