"""Prefect and MLflow on PostgreSQL: a real server in a folder of its own, a training, and what both wrote into it.

Debian's package `postgresql` has what it needs; without one these tests skip. `make test-postgres` runs them alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from loopback import answers, free_port
from tiny_work import forge_tiny, tiny_training

from iamsb_core.digest import plain

pytestmark = [pytest.mark.slow, pytest.mark.postgres]

WAIT_SECONDS = 300
UNPRIVILEGED = ("postgres", "nobody")


def binaries() -> Path:
    """Where initdb is: on the PATH, or where Debian keeps it."""
    found = shutil.which("initdb")
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not places:
        pytest.skip("no PostgreSQL here: install Debian's package `postgresql`")
    return places[-1].parent


def owner() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: another user then."""
    if os.geteuid() != 0:
        return {}
    known = {one.pw_name: one for one in pwd.getpwall()}
    chosen = next((known[name] for name in UNPRIVILEGED if name in known), None)
    if chosen is None:
        pytest.skip(f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)}")
    return {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL with the databases `prefect` and `mlflow`."""

    port: int

    def url(self, driver: str, name: str) -> str:
        return f"postgresql+{driver}://iamsb@127.0.0.1:{self.port}/{name}"

    def ask(self, name: str, query: str) -> list[tuple[Any, ...]]:
        import psycopg2  # noqa: PLC0415 - an extra

        with contextlib.closing(psycopg2.connect(host="127.0.0.1", port=self.port, user="iamsb", dbname=name)) as link:
            link.autocommit = True
            with link.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    programs, user = binaries(), owner()
    folder = Path(tempfile.mkdtemp(prefix="iamsb-postgres-"))  # pytest's own folders are closed to other users
    if user:
        os.chown(folder, user["user"], user["group"])
    data, port = folder / "data", free_port()
    settings = ("-A", "trust", "-U", "iamsb", "-E", "UTF8", "--no-sync")
    subprocess.run([programs / "initdb", "-D", data, *settings], check=True, capture_output=True, cwd=folder, **user)
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-F"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **user,
    )
    try:
        running = Database(port)
        for name in ("prefect", "mlflow"):
            until_there(lambda name=name: running.ask("postgres", f"CREATE DATABASE {name}"), process)
        yield running
    finally:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def until_there(action: Any, process: subprocess.Popen[bytes]) -> None:
    import psycopg2  # noqa: PLC0415 - an extra

    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            action()
        except psycopg2.OperationalError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@contextlib.contextmanager
def serving(command: list[str], url: str, environment: dict[str, str], log_file: Path) -> Iterator[None]:
    """A server in a session of its own, until the block ends."""
    with log_file.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not answers(url):
            assert process.poll() is None, log_file.read_text()[-3000:]
            assert time.monotonic() < deadline, log_file.read_text()[-3000:]
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)


def tiny(folder: Path) -> tuple[Path, Path]:
    """A dataset of drawn clips, and the configuration of a training that takes seconds."""
    chosen = replace(tiny_training(epochs=2), device="cpu")
    (folder / "config.json").write_text(json.dumps(plain(chosen)))
    return forge_tiny(folder / "data", num_clips=(5, 2, 1)), folder / "config.json"


def test_a_training_is_recorded_in_postgres(database: Database, tmp_path: Path) -> None:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PREFECT_", "IAMSB_", "MLFLOW_"))}
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
    api, tracking = free_port(), free_port()
    places = {"IAMSB_HOME": str(tmp_path / "home"), "PREFECT_HOME": str(tmp_path / "prefect")}
    places["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url("asyncpg", "prefect")
    places["MLFLOW_BACKEND_STORE_URI"] = database.url("psycopg2", "mlflow")
    environment = kept | quiet | places
    prefect = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(api)]
    mlflow = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(tracking), "--workers", "1", "--serve-artifacts"]
    mlflow += ["--artifacts-destination", str(tmp_path / "artifacts")]
    data, config = tiny(tmp_path)
    with (
        serving(prefect, f"http://127.0.0.1:{api}/api/health", environment, tmp_path / "prefect.log"),
        serving(mlflow, f"http://127.0.0.1:{tracking}/health", environment, tmp_path / "mlflow.log"),
    ):
        servers = {"PREFECT_API_URL": f"http://127.0.0.1:{api}/api"}
        servers["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{tracking}"
        command = ["flows.cli", "train", "lavdf", str(data), "--config", str(config), "--json"]
        run = subprocess.run(
            [sys.executable, "-m", *command],
            env=kept | quiet | servers | {"IAMSB_HOME": str(tmp_path / "home")},
            capture_output=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr.decode()[-3000:]
    done = json.loads(run.stdout)
    flows = dict(database.ask("prefect", "SELECT name, state_type::text FROM flow_run"))
    assert flows == {"train-lavdf": "COMPLETED", "extract-lavdf": "COMPLETED"}
    ((shards,),) = database.ask("prefect", "SELECT count(*) FROM task_run WHERE name LIKE 'shard-%'")
    assert shards >= 4
    assert (done["run_id"], "FINISHED") in database.ask("mlflow", "SELECT run_uuid, status FROM runs")
    ((epochs,),) = database.ask(
        "mlflow", f"SELECT count(*) FROM metrics WHERE run_uuid = '{done['run_id']}' AND key = 'train_total'"
    )
    assert epochs == 2
    assert database.ask("mlflow", "SELECT name, alias FROM registered_model_aliases") == [("iamsb", "champion")]
    assert not (tmp_path / "home" / "mlflow.db").exists()
    assert not list((tmp_path / "prefect").glob("*.db"))
