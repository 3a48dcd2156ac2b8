"""Training in several processes: starts them with torchrun's engine and hears what the first one reports.

This process, which has the flow, the run in MLflow and the progress, trains nothing. It starts `tasks.team_launcher`,
which starts `tasks.team_member` once for each process of this machine; on other machines the user's own `torchrun`
does that. When this process ends, however it ends, so do those that it started.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iamsb_core.digest import plain
from iamsb_core.manifest import Manifest
from iamsb_core.training.loop import EpochReport, StepReport
from storage.staging import write_atomically
from tasks import progress
from tasks.train_job import STAGE, TeamConfig, TrainJob

log = logging.getLogger(__name__)

PLAN_FILE = "team.json"
LOG_FILE = "team.log"
_STOP_SECONDS = 60.0


class LostProcessError(RuntimeError):
    """A training process ended before the training did; worth another try, which goes on at the last checkpoint."""


def reports(job: TrainJob, train: Manifest, dev: Manifest) -> Iterator[tuple[StepReport | EpochReport, int]]:
    """What the trainer of the team's first process reports, with the number of steps of the whole training.

    Raises ValueError where the machine has fewer GPUs than processes, what a process raised where the user caused it,
    and LostProcessError.
    """
    _check_devices(job)
    plan = job.folder / PLAN_FILE
    write_atomically(plan, json.dumps({"job": plain(job), "train": plain(train), "dev": plain(dev)}).encode())
    if job.team.machines > 1:
        log.info("waiting for %d more machines: start on each %s", job.team.machines - 1, command_elsewhere(job.team))
    num_steps, failure = 0, None
    with (job.folder / LOG_FILE).open("wb") as errors, _launched(job, plan, errors) as launcher:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            if not line.startswith('["'):  # what a library prints
                continue
            kind, content = json.loads(line)
            if kind == "steps":
                num_steps = content
                progress.begin(STAGE, num_steps)
            elif kind == "failure":
                failure = content
            else:
                yield (StepReport if kind == "step" else EpochReport)(**content), num_steps
        launcher.wait()
    plan.unlink()
    if launcher.returncode:
        raise _error(failure, launcher.returncode, job.folder / LOG_FILE)


def command_elsewhere(team: TeamConfig) -> str:
    """What the second machine runs; further ones count `--node-rank` up."""
    host, _, port = team.rendezvous.rpartition(":")
    return (
        f"`torchrun --nnodes {team.machines} --node-rank 1 --nproc-per-node {team.processes} --master-addr {host} "
        f"--master-port {port} -m tasks.team_member`"
    )


class _launched:  # noqa: N801 - used as a function
    """The launcher, in a session of its own so that Ctrl-C reaches it only through us; ended with the block."""

    def __init__(self, job: TrainJob, plan: Path, errors: Any) -> None:
        command = [sys.executable, "-m", "tasks.team_launcher", str(plan), json.dumps(plain(job.team))]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and words
            command,
            stdin=subprocess.PIPE,  # the lifeline: it closes when this process ends, however it ends
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _check_devices(job: TrainJob) -> None:
    import torch  # noqa: PLC0415 - a second to import

    if job.device.startswith("cuda") and torch.cuda.device_count() < job.team.processes:
        raise ValueError(
            f"{job.team.processes} training processes want a GPU each, this machine has {torch.cuda.device_count()}; "
            "use fewer processes"
        )


def _error(failure: dict[str, Any] | None, code: int, log_file: Path) -> Exception:
    if failure is None:
        return LostProcessError(f"the training processes ended with code {code}; {log_file} has their last words")
    if failure["kind"] == "ValueError":
        return ValueError(failure["message"])
    what = f"was killed by signal {-failure['code']}" if failure["code"] < 0 else f"failed: {failure['message']}"
    return LostProcessError(
        f"training process {failure['rank'] + 1} {what}; run the same command again to go on at the last checkpoint "
        f"({log_file} has its last words)"
    )
