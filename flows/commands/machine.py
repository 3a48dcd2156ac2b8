"""`iamsb up`, `down`, `register` and `doctor`."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from flows.doctor import examine
from flows.environment import Orchestrator
from flows.pools import Infrastructure
from flows.registration import register as registered
from flows.services import Ports, Services
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from storage.home import Home


def up(terminal: Terminal, *, orchestrator: Orchestrator, port: int | None, mlflow_port: int | None) -> dict[str, Any]:
    """Start the services; a server that the user chose by PREFECT_API_URL is not ours to start."""
    if orchestrator.mode == "user's server":
        raise ValueError(f"PREFECT_API_URL names the server {orchestrator.api_url}; unset it to start one here")
    home = Home.current()
    services = Services(home).up(Ports(port, mlflow_port))
    logs = home.root / "logs"
    prefect, mlflow = services["prefect"]["url"], services["mlflow"]["url"]
    terminal.say(f"Prefect  {prefect.removesuffix('/api')}")
    terminal.say(f"MLflow   {mlflow}")
    terminal.say(
        f"workers  {', '.join(sorted(name for name in services if name.startswith('worker')))}; logs in {logs}"
    )
    told = services["prefect"].get("prefect_toml")
    terminal.say(f"The `prefect` command finds the server {f'by {told}' if told else f'at {prefect}'}; elsewhere:")
    terminal.say(f"  export PREFECT_API_URL={prefect}")
    terminal.say(f"  {_prefect_command()} deployment run extract/lavdf -p root=PATH --watch")
    return {"prefect_api_url": prefect, "mlflow_url": mlflow, "logs": logs, "services": services}


def _prefect_command() -> str:
    """The word to type for Prefect's own command: its path where this environment is not activated."""
    if shutil.which("prefect") is not None:
        return "prefect"
    return shlex.quote(str(Path(sys.executable).parent / "prefect"))


def down(terminal: Terminal, *, orchestrator: Orchestrator) -> dict[str, Any]:
    """Stop the services of this home."""
    del orchestrator
    stopped = Services(Home.current()).down()
    terminal.say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return {"stopped": stopped}


def register(terminal: Terminal, *, orchestrator: Orchestrator, runs_as: Infrastructure) -> dict[str, Any]:
    """Bring a server that runs to what the files in deployments/ say."""
    if orchestrator.api_url is None:
        raise UsageError("no Prefect server runs here: set PREFECT_API_URL to one, or start one with `iamsb up`")
    done = registered(orchestrator.api_url, runs_as)
    terminal.say(f"{orchestrator.api_url} has the pools {', '.join(done.pools)}, their queues and all deployments")
    terminal.say(f"automations: {'; '.join(done.automations)}")
    return {"prefect_api_url": orchestrator.api_url, "runs_as": runs_as, **plain(done)}


def doctor(terminal: Terminal, *, orchestrator: Orchestrator) -> dict[str, Any]:
    """Print the findings; failed where anything is broken."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    findings = examine(Home.current(), orchestrator)
    rows = [(finding.area, finding.name, finding.state, finding.detail) for finding in findings]
    terminal.table("iamsb doctor", ("area", "what", "state", "detail"), rows)
    for finding in findings:
        if finding.state != "ok" and finding.mend:
            terminal.say(f"{finding.name}: {finding.mend}")
    broken = [finding for finding in findings if finding.state == "broken"]
    return {"failed": bool(broken), "mode": orchestrator.mode, "findings": findings}
