"""Starts this machine's training processes with torchrun's engine: `python -m tasks.team_launcher PLAN TEAM`.

What they print goes on to stdout, and if one fails, a line of JSON saying which and why. Ends with its stdin: whoever
started it is gone then, and must not find processes at work in its folder when it comes again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from iamsb_core.configuration import parse
from tasks.train_job import TeamConfig

_STOP_SECONDS = 40.0
_JOIN_SECONDS = 24 * 3600
"""for the other machines to come"""


def launch(plan: str, team: TeamConfig) -> int:
    """Run the processes to their end; 0, or 1 where one failed."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // team.processes)))
    try:
        elastic_launch(_config(team), sys.executable)("-m", "tasks.team_member", plan)
    except ChildFailedError as error:
        sys.stdout.write(json.dumps(["failure", _blamed(error.failures)]) + "\n")
        sys.stdout.flush()
        return 1
    return 0


def _config(team: TeamConfig) -> LaunchConfig:
    """As torchrun makes it: `--standalone`, or `--node-rank 0` with a master's address and port."""
    several = team.machines > 1
    return LaunchConfig(
        min_nodes=team.machines,
        max_nodes=team.machines,
        nproc_per_node=team.processes,
        run_id="none",
        rdzv_backend="static" if several else "c10d",
        rdzv_endpoint=team.rendezvous if several else "localhost:0",
        rdzv_configs={"rank": 0, "timeout": _JOIN_SECONDS} if several else {},
        local_addr=None if several else "localhost",
        max_restarts=0,
    )


def _blamed(failures: dict[int, ProcessFailure]) -> dict[str, Any]:
    """The failure that brought the others about: a process that was killed, else the first error.

    SIGTERM comes last: that is how torchrun's engine ends the others.
    """

    def weight(item: tuple[int, ProcessFailure]) -> tuple[int, int, int]:
        rank, failure = item
        ended = failure.exitcode == -signal.SIGTERM
        return 2 if ended else int(failure.exitcode >= 0), failure.timestamp, rank

    rank, failure = min(failures.items(), key=weight)
    message = failure.message["message"] if isinstance(failure.message, dict) else failure.message
    kind, _, text = str(message).partition(": ")
    return {"rank": rank, "code": failure.exitcode, "kind": kind, "message": text or kind}


def _end_with_stdin() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.exit(launch(sys.argv[1], parse(TeamConfig, json.loads(sys.argv[2]), where="team")))
