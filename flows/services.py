"""`iamsb up` and `iamsb down`: a Prefect server, workers for the pools and the MLflow page, on loopback only."""

from __future__ import annotations

import base64
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from flows.environment import (
    ADDRESS_MARK,
    SERVICES_FILE,
    address_in,
    is_alive,
    process_identity,
    read_services,
    service_environment,
)
from flows.registration import PROJECT, register
from storage.home import Home
from storage.mlflow_setup import initialise_database
from storage.staging import exclusive
from tasks.links import MLFLOW_PAGE_VARIABLE

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PREFECT_PORT, MLFLOW_PORT = 4200, 5000
LOCK_FILE = "services.lock"
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
WORKER_LIMIT = 3
"""runs at once on one worker: one of `default`, one of `nightly`, and one that is urgent (deployments/pools.yaml)"""
STARTUP_SECONDS = 180.0
_STOP_SECONDS = 15.0
_NUM_PORTS_TRIED = 50


@dataclass(frozen=True)
class Ports:
    """Where the services listen; None: the usual port, or the next free one."""

    prefect: int | None = None
    mlflow: int | None = None


@dataclass(frozen=True)
class Worker:
    """One worker process: a Prefect worker takes runs of one pool only."""

    pool: str
    gpu: str
    """what it and its runs see as CUDA_VISIBLE_DEVICES; empty: no GPU"""


def planned_workers(gpus: Sequence[str]) -> dict[str, Worker]:
    """The workers of a machine by name: one for the pool `cpu`, which sees no GPU, and one for each GPU.

    A machine without a GPU serves the pool `gpu` all the same, on its processor: nothing waits for what never comes.
    """
    of_gpus = {f"worker-gpu-{number}": Worker("gpu", gpu) for number, gpu in enumerate(gpus)}
    return {"worker-cpu": Worker("cpu", ""), **(of_gpus or {"worker-gpu": Worker("gpu", "")})}


def gpus_here() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them, of those that are to be seen."""
    import torch  # noqa: PLC0415 - seconds to import

    named = [name.strip() for name in os.environ.get(VISIBLE_GPUS, "").split(",") if name.strip()]
    return named or [str(number) for number in range(torch.cuda.device_count())]


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
            running, workers = read_services(self.home), planned_workers(gpus_here())
            names = {"prefect", "mlflow", *workers}
            if running.keys() >= names and all(is_alive(running[name]["identity"]) for name in names):
                log.info("everything runs already")
                return running
            return self._start_anew(ports, workers)

    def _start_anew(self, ports: Ports, workers: dict[str, Worker]) -> dict[str, dict[str, str]]:
        self.down()  # what an `up` that was killed left, which may lack a part or the deployments
        self.logs.mkdir(parents=True, exist_ok=True)
        try:
            self._start_prefect(free_port(ports.prefect, PREFECT_PORT, "Prefect", "--port"))
            mlflow_port = free_port(ports.mlflow, MLFLOW_PORT, "MLflow", "--mlflow-port")
            self._start_mlflow(mlflow_port)
            register(os.environ["PREFECT_API_URL"])
            self._start_workers(workers)
        except BaseException:
            self.down()
            raise
        return read_services(self.home)

    def down(self) -> list[str]:
        """Stop every process tree that `up` started; the names of those that ran."""
        services = read_services(self.home)
        alive = {name: service for name, service in services.items() if is_alive(service["identity"])}
        for name in sorted(alive, key=_stopping_order):  # workers first: they tell the server what they stopped
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
        url = os.environ[MLFLOW_PAGE_VARIABLE] = f"http://{HOST}:{port}"
        initialise_database(self.home)
        command = ["-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", self.home.tracking_uri({})]
        command += ["--default-artifact-root", str(self.home.artifacts)]
        self._wait("mlflow", self._start("mlflow", command, url), f"{url}/health")

    def _start_workers(self, workers: dict[str, Worker]) -> None:
        """All at once, and then wait for each."""
        url = os.environ["PREFECT_API_URL"]
        started = {}
        for name, worker in workers.items():
            command = ["-m", "prefect", "worker", "start", "--name", name, "--pool", worker.pool, "--type", "process"]
            command += ["--limit", str(WORKER_LIMIT)]
            started[name] = self._start(name, command, url, {VISIBLE_GPUS: worker.gpu})
        for name, process in started.items():
            self._wait(
                name, process, f"{url}/work_pools/{workers[name].pool}/workers/filter", partial(_is_online, name)
            )

    def _start(
        self, name: str, command: list[str], url: str, more: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        log.info("starting %s at %s", name, url)
        with (self.logs / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
                [sys.executable, *command],
                cwd=PROJECT,
                env=service_environment(os.environ) | dict(more),
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


def _stopping_order(name: str) -> int:
    """Workers first: they tell the server which runs they stopped."""
    return {"mlflow": 1, "prefect": 2}.get(name, 0)


def _is_online(name: str, found: Any) -> bool:
    return any(worker["name"] == name and worker["status"] == "ONLINE" for worker in found)


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


def _fetch(url: str, *, post: bool) -> Any:
    """The JSON (or text) that the address gives; None where it does not answer."""
    # S310: the address is ours, on loopback.
    headers = {"Content-Type": "application/json", **_credentials()}
    request = urllib.request.Request(url, data=b"{}" if post else None, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _credentials() -> dict[str, str]:
    """What a Prefect server that asks for a password is told, as Prefect's own clients tell it."""
    given = os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    return {"Authorization": f"Basic {base64.b64encode(given.encode()).decode()}"} if given else {}


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
