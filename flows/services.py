"""`iamsb up` and `iamsb down`: a Prefect server, a process worker and the MLflow page, on loopback only."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from flows.environment import (
    ADDRESS_MARK,
    CONSOLE_VARIABLE,
    OWNER_VARIABLE,
    SERVICES_FILE,
    address_in,
    is_alive,
    process_identity,
    read_services,
)
from storage.home import Home
from storage.mlflow_setup import initialise_database
from storage.staging import exclusive

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
PREFECT_PORT, MLFLOW_PORT = 4200, 5000
POOL = "cpu"
LOCK_FILE = "services.lock"
NAMES = frozenset({"prefect", "mlflow", "worker"})
STARTUP_SECONDS = 180.0
_STOP_SECONDS = 15.0
_NUM_PORTS_TRIED = 50


@dataclass(frozen=True)
class Ports:
    """Where the services listen; None: the usual port, or the next free one."""

    prefect: int | None = None
    mlflow: int | None = None


class Services:
    """The services of one home: what runs is written to its services.json as soon as it runs."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.logs = home.root / "logs"

    def up(self, ports: Ports) -> dict[str, dict[str, str]]:
        """Start everything unless all of it runs, register the deployments, wait until everything answers.

        One process at a time: a second one waits, and then finds everything running.
        """
        with exclusive(self.home.root / LOCK_FILE):
            running = read_services(self.home)
            if running.keys() >= NAMES and all(is_alive(running[name]["identity"]) for name in NAMES):
                log.info("everything runs already")
                return running
            return self._start_anew(ports)

    def _start_anew(self, ports: Ports) -> dict[str, dict[str, str]]:
        self.down()  # what an `up` that was killed left, which may lack a part or the deployments
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._start_prefect(free_port(ports.prefect, PREFECT_PORT, "Prefect", "--port"))
            mlflow_port = free_port(ports.mlflow, MLFLOW_PORT, "MLflow", "--mlflow-port")
            self._start_mlflow(mlflow_port)
            self._register()
            self._start_worker()
        except BaseException:
            self.down()
            raise
        return read_services(self.home)

    def down(self) -> list[str]:
        """Stop every process tree that `up` started; the names of those that ran."""
        services = read_services(self.home)
        alive = {name: service for name, service in services.items() if is_alive(service["identity"])}
        for name in ("worker", "mlflow", "prefect"):
            if name in alive:
                _stop_tree(int(alive[name]["identity"].split(":")[0]))
        for service in services.values():
            _forget_address(service.get("prefect_toml"))
        (self.home.root / SERVICES_FILE).unlink(missing_ok=True)
        return sorted(alive)

    def _start_prefect(self, port: int) -> None:
        url = f"http://{HOST}:{port}/api"
        os.environ["PREFECT_API_URL"] = url
        command = ["-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
        process = self._start("prefect", command, url)
        self._wait("prefect", process, f"{url}/health")
        self._note("prefect", {"prefect_toml": _write_address(Path.cwd() / "prefect.toml", url)})

    def _start_mlflow(self, port: int) -> None:
        """The page over the same database and artifact folder that runs without a server use."""
        url = f"http://{HOST}:{port}"
        initialise_database(self.home)
        command = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", self.home.tracking_uri({})]
        command += ["--default-artifact-root", str(self.home.artifacts)]
        self._wait("mlflow", self._start("mlflow", command, url), f"{url}/health")

    def _register(self) -> None:
        """Make the pool, the accelerator's slot and the deployments of deployments/prefect.yaml."""
        self._prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
        with contextlib.suppress(RuntimeError):  # it exists since the last time
            self._prefect("gcl", "create", "gpu", "--limit", "1")
        log.info("registering the deployments")
        self._prefect("--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml")

    def _start_worker(self) -> None:
        command = ["-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--limit", "2"]
        process = self._start("worker", command, os.environ["PREFECT_API_URL"])
        workers = f"{os.environ['PREFECT_API_URL']}/work_pools/{POOL}/workers/filter"
        self._wait("worker", process, workers, lambda found: any(worker["status"] == "ONLINE" for worker in found))

    def _start(self, name: str, command: list[str], url: str) -> subprocess.Popen[bytes]:
        log.info("starting %s at %s", name, url)
        with (self.logs / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
                [sys.executable, *command],
                cwd=PROJECT,
                env=_service_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._note(name, {"url": url, "identity": process_identity(process.pid)})
        return process

    def _note(self, name: str, facts: dict[str, str]) -> None:
        services = read_services(self.home)
        services[name] = services.get(name, {}) | facts
        staging = self.home.root / f".{SERVICES_FILE}.{os.getpid()}"
        staging.write_text(json.dumps(services, indent=2))
        staging.replace(self.home.root / SERVICES_FILE)

    def _wait(
        self, name: str, process: subprocess.Popen[bytes], url: str, ready: Callable[[Any], bool] = lambda _: True
    ) -> None:
        began = time.monotonic()
        while time.monotonic() - began < STARTUP_SECONDS:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended at once with code {process.returncode}; {self._last_words(name)}")
            found = _fetch(url, post="filter" in url)
            if found is not None and ready(found):
                return
            time.sleep(0.2)
        raise RuntimeError(f"{name} did not answer at {url} in {STARTUP_SECONDS:.0f} s; {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        path = self.logs / f"{name}.log"
        return f"the end of {path}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-8:])

    def _prefect(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(  # noqa: S603 - our own interpreter and words
            command, cwd=PROJECT, env=_service_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"`prefect {' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()[-800:]}")


def free_port(wanted: int | None, usual: int, name: str, option: str) -> int:
    """The wanted port, or the usual one or the next that is free. Raises ValueError where the wanted one is busy."""
    if wanted is not None:
        if not _is_free(wanted):
            raise ValueError(f"port {wanted} is taken; give {name} another with {option}, or leave {option} out")
        return wanted
    for port in range(usual, usual + _NUM_PORTS_TRIED):
        if _is_free(port):
            if port != usual:
                log.info("port %d is taken, so %s listens at %d", usual, name, port)
            return port
    raise ValueError(f"no free port between {usual} and {usual + _NUM_PORTS_TRIED}; choose one with {option}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _service_environment() -> dict[str, str]:
    """A deployed flow's log belongs in the server's page, so services log from INFO up."""
    kept = {name: value for name, value in os.environ.items() if name not in (CONSOLE_VARIABLE, OWNER_VARIABLE)}
    return kept | {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_SERVER_LOGGING_LEVEL": "WARNING"}


def _fetch(url: str, *, post: bool) -> Any:
    """The JSON (or text) that the address gives; None where it does not answer."""
    # S310: the address is ours, on loopback.
    request = urllib.request.Request(  # noqa: S310
        url, data=b"{}" if post else None, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _write_address(path: Path, url: str) -> str:
    """Tell the `prefect` command in this folder where the server is; a file of the user's own stays as it is."""
    if path.exists() and address_in(path) is None:
        log.warning("%s is yours and stays; use `export PREFECT_API_URL=%s`", path, url)
        return ""
    path.write_text(f'{ADDRESS_MARK}[api]\nurl = "{url}"\n')
    return str(path)


def _forget_address(path: str | None) -> None:
    if path and address_in(Path(path)) is not None:
        Path(path).unlink()


def _stop_tree(pid: int) -> None:
    """End a process and all its descendants: politely, then not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        tree = [*parent.children(recursive=True), parent]
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, stubborn = psutil.wait_procs(tree, timeout=_STOP_SECONDS)
        for process in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(stubborn, timeout=_STOP_SECONDS)
