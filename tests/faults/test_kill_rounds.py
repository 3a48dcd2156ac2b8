"""SIGKILL at 50 random moments of extraction and 20 of training, of whatever takes part in it.

A round is a fresh home in which the same work is started again until it is done. In each start something is killed
after a random time: the process that works (with Prefect a worker's), a decoding process, the Prefect server. Most
rounds do what the flows' tasks do, without Prefect around it, so that a kill takes a second; the others are the flows
themselves. After every kill: whatever can be seen is whole, and nothing that was there is gone. At the end of every
round: features, metrics and weights are those of a home where nothing was killed, and no run is called what it is not.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from workers import PrefectServer, decoders, worker
from workplace import (
    check_equal,
    check_whole,
    epoch_metrics,
    make_dataset,
    note,
    num_checkpoints,
    packs,
    tally,
    trained_on,
)

from storage.home import Home
from storage.mlflow_setup import initialise_database

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill-rounds")]

PATIENCE_SECONDS = 1200.0
"""for a worker whose server was killed, on a machine with much else to do"""
NOTHING = "nothing"


@dataclass(frozen=True)
class Kill:
    """One injection."""

    victim: str
    after_seconds: float
    seen: str
    """what was there when it happened"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("rounds"), num_clips=(2, 1, 1), seconds=1.2, epochs=6)


@pytest.fixture(scope="module")
def undisturbed(workplace: Path) -> Path:
    home = empty_home(workplace / "undisturbed")
    for kind in ("extract-task", "train-task"):
        assert done(kind, home, workplace, ""), log_of(home, kind)
    return home


def empty_home(place: Path) -> Path:
    """A home with MLflow's database and nothing in it; making one takes longer than all the rest."""
    base = place.parent / "empty"
    if not base.exists():
        initialise_database(Home(base))
    return Path(shutil.copytree(base, place))


def done(kind: str, home: Path, workplace: Path, api_url: str) -> bool:
    """The work to its end; whether it succeeded."""
    process = worker(kind, home, workplace, api_url)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode == 0


def log_of(home: Path, kind: str) -> str:
    return (home / "logs" / f"{kind}.log").read_text()[-3000:]


class Killer:
    """Kills what takes part in some work, at random moments."""

    def __init__(self, kind: str, workplace: Path, server: PrefectServer | None, victims: dict[str, float]) -> None:
        self.kind, self.workplace, self.server = kind, workplace, server
        self.api_url = "" if server is None else server.url
        self.rng = np.random.default_rng(len(kind))
        self.victims = victims
        self.kills: list[Kill] = []
        self.num_starts = 0
        self.num_survived = 0
        """kills that the worker lived through by itself"""

    def duration_seconds(self, home: Path) -> float:
        """Of the work without any kill."""
        began = time.monotonic()
        assert done(self.kind, home, self.workplace, self.api_url), log_of(home, self.kind)
        return time.monotonic() - began

    def round(self, home: Path, duration_seconds: float, most: int) -> None:
        """Start the work, and kill, until it is done; afterwards without killing where there were enough kills."""
        while True:
            there = packs(home)
            wanted = str(self.rng.choice(list(self.victims), p=list(self.victims.values())))
            wanted = NOTHING if len(self.kills) >= most else wanted
            finished, struck = self._attempt(home, wanted, float(self.rng.uniform(0.0, duration_seconds)))
            check_whole(home)
            assert there <= packs(home), "nothing that was done is gone"
            if finished and not struck:
                return

    def _attempt(self, home: Path, victim: str, delay: float) -> tuple[bool, bool]:
        """(whether the work was done, whether something was killed)."""
        self.num_starts += 1
        process = worker(self.kind, home, self.workplace, self.api_url)
        struck = victim != NOTHING and self._strike(process, home, victim, delay)
        process.join(PATIENCE_SECONDS)
        assert process.exitcode is not None, f"it hangs after {victim} was killed"
        finished = process.exitcode == 0
        self.num_survived += struck and finished
        assert finished or struck, log_of(home, self.kind)
        return finished, struck

    def _strike(self, process: Any, home: Path, victim: str, delay: float) -> bool:
        """Whether there was still something to kill when the time had come."""
        process.join(delay)
        seen = f"{len(packs(home))} packs, {num_checkpoints(home)} checkpoints"
        if not process.is_alive():
            return False
        if victim == "decoder":
            found = decoders(process.pid)
            while not found and process.is_alive():
                time.sleep(0.01)
                found = decoders(process.pid)
            for child in found[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            if not found:
                return False
        elif victim == "server":
            assert self.server is not None
            self.server.kill()
            time.sleep(float(self.rng.uniform(0.0, 2.0)))
            self.server.start()
        else:
            process.kill()
        self.kills.append(Kill(victim, round(delay, 2), seen))
        return True


def check_states(server: PrefectServer, num_before: int, num_rounds: int) -> dict[str, int]:
    """What Prefect says once those that were killed are known to be gone."""
    server.forget()
    states = server.states()
    assert states.keys() <= {"COMPLETED", "CRASHED", "FAILED"}, "nothing is shown as running that does not run"
    assert states["COMPLETED"] - num_before >= num_rounds
    return dict(states)


@pytest.mark.parametrize(
    ("kind", "num_kills", "victims"),
    [
        ("extract-task", 40, {"worker": 0.7, "decoder": 0.3}),
        ("extract", 10, {"worker": 0.5, "decoder": 0.2, "server": 0.3}),
    ],
)
def test_killed_while_extracting(
    kind: str,
    num_kills: int,
    victims: dict[str, float],
    *,
    workplace: Path,
    undisturbed: Path,
    request: pytest.FixtureRequest,
):
    server = None if kind.endswith("-task") else request.getfixturevalue("server")
    num_before = 0 if server is None else server.states()["COMPLETED"]
    expected = trained_on(workplace, undisturbed)
    killer = Killer(kind, workplace, server, victims)
    duration, states, num_rounds = killer.duration_seconds(empty_home(workplace / f"timing-{kind}")), {}, 0
    while len(killer.kills) < num_kills:
        home = empty_home(workplace / f"{kind}-{num_rounds}")
        killer.round(home, duration, num_kills)
        assert trained_on(workplace, home) == expected
        assert packs(home) >= packs(undisturbed)
        shutil.rmtree(home)
        num_rounds += 1
        states = states if server is None else check_states(server, num_before, num_rounds)
        note(f"kills-{kind}", figures(killer, num_rounds, duration, states))


@pytest.mark.parametrize(
    ("kind", "num_kills", "victims"),
    [("train-task", 16, {"trainer": 1.0}), ("train", 4, {"trainer": 0.5, "server": 0.5})],
)
def test_killed_while_training(
    kind: str,
    num_kills: int,
    victims: dict[str, float],
    *,
    workplace: Path,
    undisturbed: Path,
    request: pytest.FixtureRequest,
):
    server = None if kind.endswith("-task") else request.getfixturevalue("server")
    num_before = 0 if server is None else server.states()["COMPLETED"]
    expected = json.loads((undisturbed / "train-task.json").read_text())
    base = empty_home(workplace / f"base-{kind}")
    assert done("extract-task", base, workplace, ""), log_of(base, "extract-task")
    killer = Killer(kind, workplace, server, victims)
    timing = Path(shutil.copytree(base, workplace / f"timing-{kind}"))
    duration, states, num_rounds = killer.duration_seconds(timing), {}, 0
    while len(killer.kills) < num_kills:
        home = Path(shutil.copytree(base, workplace / f"{kind}-{num_rounds}"))
        killer.round(home, duration, num_kills)
        check_equal(workplace, home, json.loads((home / f"{kind}.json").read_text()), (expected, undisturbed))
        assert epoch_metrics(home / "mlflow.db") == epoch_metrics(undisturbed / "mlflow.db")
        shutil.rmtree(home)
        num_rounds += 1
        states = states if server is None else check_states(server, num_before, num_rounds)
        note(f"kills-{kind}", figures(killer, num_rounds, duration, states))


def figures(killer: Killer, num_rounds: int, duration: float, states: dict[str, int]) -> dict[str, Any]:
    return {
        "num_kills": len(killer.kills),
        "victims": tally([kill.victim for kill in killer.kills]),
        "num_rounds": num_rounds,
        "num_starts": killer.num_starts,
        "num_survived": killer.num_survived,
        "undisturbed_seconds": round(duration, 1),
        "flow_states": states,
        "kills": killer.kills,
    }
