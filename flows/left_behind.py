"""What a killed command leaves in Prefect's record: runs that say they run. The next command calls them crashed.

Every command with a server of its own holds a lock of the home, shared with the others. The kernel lets go of it when
a command dies, however it dies; so whoever can have it alone knows that no run of the record is alive. Runs on a
server that lasts are watched there (deployments/automations.yaml).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_LOCK_FILE = "commands.lock"
_UNFINISHED = ["RUNNING", "PENDING", "CANCELLING"]
_ANSWER_SECONDS = 30.0
_WHY = "its command was killed; the same command again goes on where it stopped"


@contextlib.contextmanager
def among_commands(prefect_home: Path) -> Iterator[bool]:
    """Join the commands of this Prefect home until the process ends; True inside where there is no other one.

    Others that start meanwhile wait until the block ends.
    """
    lock = os.open(prefect_home / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)  # closed by the process's end
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_alone = True
    except BlockingIOError:
        is_alone = False
    try:
        yield is_alone
    finally:
        fcntl.flock(lock, fcntl.LOCK_SH)


def call_crashed(api_url: str) -> int:
    """Set every unfinished flow run of the record to Crashed; returns how many. For when none can be alive."""
    wanted = {"flow_runs": {"state": {"type": {"any_": _UNFINISHED}}}}
    num_found = 0
    while found := _asked(f"{api_url}/flow_runs/filter", wanted):
        for run in found:
            state = {"type": "CRASHED", "name": "Crashed", "message": _WHY}
            _asked(f"{api_url}/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
        num_found += len(found)
    if num_found:
        log.info("%d runs of killed commands are now called crashed", num_found)
    return num_found


def _asked(url: str, document: dict[str, Any]) -> Any:
    # S310: a loopback address of our own
    request = urllib.request.Request(  # noqa: S310
        url, data=json.dumps(document).encode(), headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
        return json.loads(answer.read())
