"""Who can reach what runs: loopback unless told, and passwords that no file of the project holds."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import free_port

from flows.services import HOST, _credentials
from storage.home import Home
from storage.mlflow_setup import initialise_database

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((PROJECT / "deployments" / "compose.yaml").read_text())
USER, PASSWORD = "team", "correct horse battery"
STARTUP_SECONDS = 600


def test_compose_publishes_on_loopback_and_no_password_has_a_default():
    for name, service in COMPOSE["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
        for variable, value in service.get("environment", {}).items():
            if re.search("AUTH_STRING|PASSWORD|SECRET|USERNAME", variable):
                parts = value.split(":$")
                assert all(re.fullmatch(r"\$?\{\w+:\?[^}]+\}", part) for part in parts), f"{name}: {variable}={value}"
    for path in (PROJECT / "deployments").glob("compose*.yaml"):
        text = path.read_text()
        assert not re.findall(r"\$\{\w*(?:PASSWORD|SECRET|AUTH)\w*:?-[^}]*\}", text), f"a default in {path.name}"
        for service in yaml.safe_load(text).get("services", {}).values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "PREFECT_SERVER_API_AUTH_STRING" in COMPOSE["services"]["prefect"]["environment"]
    assert "--app-name basic-auth" in COMPOSE["services"]["mlflow"]["command"]
    for client in ("register", "worker-cpu", "worker-gpu"):
        assert {"PREFECT_API_AUTH_STRING", "MLFLOW_TRACKING_PASSWORD"} <= set(
            COMPOSE["services"][client]["environment"]
        )


def test_whatever_names_a_host_in_the_source_names_this_machine():
    """Strings in the source that look like an address to listen on."""
    found = set()
    for package in ("flows", "tasks", "storage", "iamsb_core"):
        for path in (PROJECT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found |= set(re.findall(r"^(?:\d+\.){3}\d+(?=$|:)|^::$|^localhost$", node.value))
    assert found <= {"127.0.0.1", "localhost"}
    assert HOST == "127.0.0.1"


@pytest.mark.parametrize("variable", ["PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"])
def test_up_tells_its_server_who_asks(variable: str, monkeypatch: pytest.MonkeyPatch):
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    assert _credentials() == {}
    monkeypatch.setenv(variable, "me:secret")
    assert _credentials() == {"Authorization": "Basic bWU6c2VjcmV0"}


def status(url: str, who: str | None = None, body: Any = None) -> int:
    headers = {"Content-Type": "application/json"}
    if who is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(who.encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, TimeoutError):
        return 0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """(Prefect's address, MLflow's, a folder): both servers as compose.yaml starts them, on loopback."""
    folder = tmp_path_factory.mktemp("servers")
    prefect, mlflow = free_port(), free_port()
    auth = (PROJECT / "deployments" / "mlflow-auth.ini").read_text().replace("/state/", f"{folder}/")
    (folder / "mlflow-auth.ini").write_text(auth)
    initialise_database(Home(folder))  # without waiting for the disk after each of its migrations
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{PASSWORD}",
        "PREFECT_API_AUTH_STRING": f"{USER}:{PASSWORD}",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "mlflow-auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 40,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    commands = {
        f"http://127.0.0.1:{prefect}/api/health": f"prefect server start --host 127.0.0.1 --port {prefect}",
        f"http://127.0.0.1:{mlflow}/health": f"mlflow server --app-name basic-auth --host 127.0.0.1 --port {mlflow} "
        f"--workers 1 --backend-store-uri sqlite:///{folder}/mlflow.db --artifacts-destination {folder}/artifacts "
        "--serve-artifacts",
    }
    running = []
    try:
        for number, (health, command) in enumerate(commands.items()):
            with (folder / f"{number}.log").open("wb") as log:
                words = [sys.executable, "-m", *command.split()]
                running.append(subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log))
            end = time.monotonic() + STARTUP_SECONDS
            while status(health) != 200:
                said = (folder / f"{number}.log").read_text()[-2000:]
                assert running[-1].poll() is None, said
                assert time.monotonic() < end, said
                time.sleep(0.3)
        yield f"http://127.0.0.1:{prefect}/api", f"http://127.0.0.1:{mlflow}", folder
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


WRONG = (None, f"{USER}:wrong", "admin:password1234", f":{PASSWORD}", f"{USER}:")


@pytest.mark.slow
def test_without_the_password_both_servers_answer_nothing(servers: tuple[str, str, Path]):
    prefect, mlflow, _ = servers
    asked = ((f"{prefect}/flows/filter", {}), (f"{mlflow}/api/2.0/mlflow/experiments/search?max_results=5", None))
    for url, body in asked:
        assert [status(url, who, body) for who in WRONG] == [401] * len(WRONG)
        assert status(url, f"{USER}:{PASSWORD}", body) == 200
    assert status(f"{mlflow}/api/2.0/mlflow-artifacts/artifacts", None) == 401
    assert status(f"{mlflow}/ajax-api/2.0/mlflow/registered-models/search?max_results=5", None) == 401


@pytest.mark.slow
def test_with_the_password_our_commands_work_and_without_it_they_say_so(
    servers: tuple[str, str, Path], untrained_model: Path, tmp_path: Path
):
    prefect, mlflow, _ = servers
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "none.mp4").write_bytes(b"no video")
    told = {"PREFECT_API_URL": prefect, "MLFLOW_TRACKING_URI": mlflow, "IAMSB_HOME": str(tmp_path / "home")}
    secret = {
        "PREFECT_API_AUTH_STRING": f"{USER}:{PASSWORD}",
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}

    def run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code]
        return subprocess.run(
            words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False
        )

    extract = "import sys; from flows.cli import main; sys.exit(main(['extract', 'generic', 'videos', "
    extract += "'--max-bad-share', '1', '--json']))"
    done = run(extract, clean | told | secret)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["num_bad"] >= 1
    refused = run(extract, clean | told)
    assert refused.returncode == 1
    assert "401" in refused.stderr
    track = f"""
from pathlib import Path
from storage.home import Home
from storage.registry import get_alias, log_model, register_model, resolve_model
from storage.tracking import start_run
home = Home.current()
with start_run(home, "x") as run:
    run.log_text("hello", "a.txt")
    made = register_model(home, log_model(run, Path({str(untrained_model)!r})), aliases=("champion",))
print(resolve_model(home, "models:/iamsb@champion")[1].sha256 == made.sha256)
"""
    done = run(track, clean | told | secret)
    assert done.stdout.strip().endswith("True"), done.stderr[-2000:]
    refused = run(track, clean | told)
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert not Home(tmp_path / "home").mlflow_database.exists()
