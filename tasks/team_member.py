"""One training process, as torchrun starts it: `torchrun ... -m tasks.team_member [PLAN]`.

The first process of all reads the plan (what `tasks.teamwork` wrote) and tells it to the others, which may be on other
machines and need the project and the feature store, nothing else. It reports as lines of JSON on its stdout.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from torch.distributed.elastic.multiprocessing.errors import record

from iamsb_core.configuration import parse
from iamsb_core.data.memory import CachedFeatures
from iamsb_core.digest import plain
from iamsb_core.manifest import Manifest
from iamsb_core.training.loop import StepReport
from iamsb_core.training.team import Team
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.staging import exclusive
from tasks.train_job import TrainJob
from tasks.training import trainer_of

_LOOK_SECONDS = 0.5


@record
def main() -> None:
    """Train to the end."""
    reports = _own_stdout()
    _end_with_parent()
    plan = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with _alone_in(plan):
        team = Team.join()
        if team.is_first and plan is None:
            raise ValueError("the machine of `iamsb train` is the first one; give this one a --node-rank of 1 or more")
        told = json.loads(team.told(plan.read_bytes() if team.is_first and plan is not None else b""))
        job, train, dev = (parse(kind, told[name], where=name) for name, kind in _PLAN.items())
        device = f"cuda:{os.environ['LOCAL_RANK']}" if job.device.startswith("cuda") else job.device
        _train(replace(job, device=device), train, dev, team, reports)


_PLAN: dict[str, Any] = {"job": TrainJob, "train": Manifest, "dev": Manifest}


def _train(job: TrainJob, train: Manifest, dev: Manifest, team: Team, reports: TextIO) -> None:
    source = StoredFeatures(FeatureStore(job.home.feature_place), job.audio, job.visual, hidden=job.hidden)
    trainer = trainer_of(job, CachedFeatures(source), train, dev, team)
    _say(reports, team, "steps", trainer.num_steps)
    for report in trainer.run():
        _say(reports, team, "step" if isinstance(report, StepReport) else "epoch", plain(report))


def _say(reports: TextIO, team: Team, kind: str, content: Any) -> None:
    if team.is_first:
        reports.write(json.dumps([kind, content]) + "\n")
        reports.flush()


def _own_stdout() -> TextIO:
    """The real stdout, for reports alone: what libraries print goes to stderr."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


@contextlib.contextmanager
def _alone_in(plan: Path | None) -> Iterator[None]:
    """The first process waits until no process of an earlier, killed team is at work in its folder."""
    if plan is None or os.environ["RANK"] != "0":
        yield
        return
    with exclusive(plan.with_name("team.lock")):
        yield


def _end_with_parent() -> None:
    """A launcher that is killed cannot end its processes."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    main()
