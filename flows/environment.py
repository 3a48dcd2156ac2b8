"""The environment that Prefect, MLflow and Hugging Face read at import: set once, before any of them is imported."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

import psutil

from storage.home import HOME_VARIABLE, Home
from tasks.links import MLFLOW_PAGE_VARIABLE
from tasks.logs import OURS, json_settings

log = logging.getLogger(__name__)

OWNER_VARIABLE = "IAMSB_OWNER"
CONSOLE_VARIABLE = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
SERVICES_FILE = "services.json"
LOGGING_FILE = Path(__file__).with_name("logging.yml")
"""Prefect's logging, with ours beside it"""
HEARTBEAT_SECONDS = 30
"""between two signs of life of a deployed run, by which Prefect tells one that was killed"""
ADDRESS_MARK = "# written by `iamsb up`, removed by `iamsb down`\n"
"""The first line of a prefect.toml of ours, which tells the `prefect` command in a folder where the server is."""
SERVER_MODULE = "prefect.server.api.server:create_app"
_PROBE_SECONDS = 2.0
_TICK_SECONDS = 0.05
"""a start is told in hundredths of a second"""

_QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": ",".join(OURS),
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_SETTINGS_PATH": str(LOGGING_FILE),
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Who holds a concurrency limit is noted on the disk: else a killed server leaves a GPU's slot taken for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
"""Defaults only: what the user has set stays."""


@dataclass(frozen=True)
class Orchestrator:
    """Where flows are recorded: in this process's own short-lived server, or by one that runs."""

    mode: Literal["in process", "services", "user's server"]
    api_url: str | None


def prepare(home: Home | None = None, *, for_flows: bool = True, debug: bool = False) -> Orchestrator:
    """Set the environment for this process and its children, and say which Prefect server serves it.

    Without debug, Prefect keeps off the terminal (its tracebacks repeat our message), and still logs to its server.
    """
    home = Home.current() if home is None else home
    os.environ[HOME_VARIABLE] = str(home.root)
    os.environ.setdefault("PREFECT_HOME", str(home.prefect))
    if for_flows:  # Prefect makes the folder itself, but not those above it
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not debug:
        os.environ.setdefault(CONSOLE_VARIABLE, "CRITICAL")
    for name in OURS if debug else ():
        os.environ.setdefault(f"PREFECT_LOGGING_LOGGERS_{name.upper()}_LEVEL", "DEBUG")
    for name, value in json_settings(os.environ).items():
        os.environ.setdefault(name, value)
    if (page := read_services(home).get("mlflow")) is not None:
        os.environ.setdefault(MLFLOW_PAGE_VARIABLE, page["url"])
    chosen = _orchestrator(home)
    if chosen.api_url is not None:
        os.environ["PREFECT_API_URL"] = chosen.api_url
    else:
        os.environ.pop("PREFECT_API_URL", None)
        os.environ[OWNER_VARIABLE] = _identity(psutil.Process())
        _stop_orphans(Path(os.environ["PREFECT_HOME"]))
    return chosen


def service_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Of what `iamsb up` starts: a deployed run's log belongs in the server's page, and it gives signs of life."""
    kept = {name: value for name, value in environ.items() if name not in (CONSOLE_VARIABLE, OWNER_VARIABLE)}
    heartbeat = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
    return heartbeat | kept | {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_SERVER_LOGGING_LEVEL": "WARNING"}


def _orchestrator(home: Home) -> Orchestrator:
    if given := os.environ.get("PREFECT_API_URL"):
        return Orchestrator("user's server", given)
    services = read_services(home)
    if "prefect" in services and answers(services["prefect"]["url"]):
        return Orchestrator("services", services["prefect"]["url"])
    if (told := address_in(Path("prefect.toml"))) is not None:
        if answers(told):
            return Orchestrator("services", told)
        Path("prefect.toml").unlink()  # of services that are gone: Prefect would wait for them
    return Orchestrator("in process", None)


def address_in(path: Path) -> str | None:
    """The server's address in a file that `iamsb up` wrote; None for any other file, or none."""
    text = path.read_text() if path.is_file() else ""
    return text.split('"')[1] if text.startswith(ADDRESS_MARK) and text.count('"') == 2 else None


def read_services(home: Home) -> dict[str, dict[str, str]]:
    """What `iamsb up` wrote: for each service its url, pid and identity; empty where nothing was started."""
    try:
        services: dict[str, dict[str, str]] = json.loads((home.root / SERVICES_FILE).read_text())
    except FileNotFoundError:
        return {}
    except json.JSONDecodeError:
        log.warning("%s is damaged and is ignored; `iamsb down` then `iamsb up` mends it", home.root / SERVICES_FILE)
        return {}
    return services


def answers(url: str) -> bool:
    """Whether something listens at the address."""
    parts = urlparse(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False


def _identity(process: psutil.Process) -> str:
    """A process id with its start, so that a number used again is not taken for the same process."""
    return f"{process.pid}:{_started_seconds(process):.2f}"


def _started_seconds(process: psutil.Process) -> float:
    """When it started, since the machine did; elsewhere than on Linux by the clock, which may be set.

    Raises psutil.NoSuchProcess.
    """
    if sys.platform != "linux":
        return process.create_time()
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error
    return int(text.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def is_alive(identity: str) -> bool:
    """Whether the process of that identity still runs."""
    try:
        pid, started = identity.split(":")
        process = psutil.Process(int(pid))
        same = abs(_started_seconds(process) - float(started)) < _TICK_SECONDS
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def process_identity(pid: int) -> str:
    """The identity of a running process. Raises psutil.NoSuchProcess."""
    return _identity(psutil.Process(pid))


def _stop_orphans(prefect_home: Path) -> None:
    """End the short-lived Prefect servers of this home whose command was killed before it could stop them."""
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or SERVER_MODULE not in process.cmdline():
                continue
            environment = process.environ()
        except psutil.Error:
            continue
        owner = environment.get(OWNER_VARIABLE)
        if owner and environment.get("PREFECT_HOME") == str(prefect_home) and not is_alive(owner):
            log.info("ending the Prefect server %d that a killed command left behind", process.pid)
            process.terminate()
