"""Everything that a Prefect server has to know of us: pools, queues, automations, deployments."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from flows.automations import register_automations
from flows.environment import service_environment
from flows.pools import DEPLOYMENTS, Infrastructure, read_pools, register_pool

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Registered:
    """Names of what the server knows now."""

    pools: tuple[str, ...]
    automations: tuple[str, ...]


def register(api_url: str, infrastructure: Infrastructure = "process") -> Registered:
    """Bring the server at the address to what the files in deployments/ say; any number of times.

    Raises ValueError where a file, or what the server has, does not fit; RuntimeError where Prefect refuses.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - a second to import
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415

    pools = read_pools()
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        for pool in pools:
            register_pool(client, pool, infrastructure)
        automations = register_automations(client)
    log.info("registering the deployments")
    prefect_command(api_url, "--no-prompt", "deploy", "--all", "--prefect-file", str(DEPLOYMENTS / "prefect.yaml"))
    return Registered(tuple(pool.name for pool in pools), tuple(automations))


def prefect_command(api_url: str, *arguments: str) -> None:
    """Run Prefect's own command in the project's folder. Raises RuntimeError with its last words where it fails."""
    environment = service_environment(os.environ) | {"PREFECT_API_URL": api_url}
    command = [sys.executable, "-m", "prefect", *arguments]
    done = subprocess.run(  # noqa: S603 - our own interpreter and words
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"`prefect {' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()[-800:]}")
