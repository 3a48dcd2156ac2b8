"""SIGKILL at 50 random moments of extraction and 20 of training, of whatever takes part in it.

A round is a fresh home in which the same work is started again until it is done. In each start something is killed
after a random time: the process that runs the flow (with Prefect a worker's), a decoding process, the Prefect server.
After every kill: whatever can be seen is whole, and nothing that was there is gone. At the end of every round:
features, metrics and weights are those of a home where nothing was killed, and no run is called what it is not.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from workers import PrefectServer, decoders, worker
from workplace import (
    check_equal,
    check_whole,
    epoch_metrics,
    features_digest,
    make_dataset,
    note,
    num_checkpoints,
    packs,
    tally,
)

from storage.home import Home
from storage.mlflow_setup import initialise_database

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill-rounds")]

NUM_EXTRACTION_KILLS, NUM_TRAINING_KILLS = 50, 20
PATIENCE_SECONDS = 600.0
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
def server(workplace: Path) -> Iterator[PrefectServer]:
    running = PrefectServer(workplace / "prefect")
    yield running
    running.kill()


@pytest.fixture(scope="module")
def undisturbed(workplace: Path, server: PrefectServer) -> Path:
    home = workplace / "undisturbed"
    for kind in ("extract", "train"):
        assert run(kind, home, workplace, server)
    return home


def run(kind: str, home: Path, workplace: Path, server: PrefectServer) -> bool:
    """The work to its end; whether it succeeded."""
    process = worker(kind, home, workplace, server.url)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode == 0


class Killer:
    """Kills what takes part in some work, at random moments."""

    def __init__(self, kind: str, workplace: Path, server: PrefectServer, victims: dict[str, float]) -> None:
        self.kind, self.workplace, self.server = kind, workplace, server
        self.rng = np.random.default_rng(0 if kind == "extract" else 1)
        self.victims = victims
        self.kills: list[Kill] = []
        self.num_survived = 0
        """kills that the worker lived through by itself"""

    def round(self, home: Path, duration_seconds: float, most: int) -> int:
        """Start the work, and kill, until it is done; returns how many times it was started."""
        num_starts = 0
        while True:
            num_starts += 1
            there = packs(home)
            wanted = str(self.rng.choice(list(self.victims), p=list(self.victims.values())))
            wanted = NOTHING if len(self.kills) >= most else wanted
            done, struck = self._attempt(home, wanted, float(self.rng.uniform(0.0, duration_seconds)))
            check_whole(home)
            assert there <= packs(home), "nothing that was done is gone"
            if done and not struck:
                return num_starts

    def _attempt(self, home: Path, victim: str, delay: float) -> tuple[bool, bool]:
        """(whether the work was done, whether something was killed)."""
        process = worker(self.kind, home, self.workplace, self.server.url)
        struck = victim != NOTHING and self._strike(process, home, victim, delay)
        process.join(PATIENCE_SECONDS)
        assert process.exitcode is not None, f"it hangs after {victim} was killed"
        done = process.exitcode == 0
        self.num_survived += struck and done
        if not struck:
            assert done, (home / "logs" / f"{self.kind}.log").read_text()[-3000:]
        return done, struck

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


def test_killed_at_50_moments_of_extraction(workplace: Path, server: PrefectServer, undisturbed: Path):
    expected, num_before = features_digest(workplace, undisturbed), server.states()["COMPLETED"]
    timing = workplace / "timing"
    began = time.monotonic()
    assert run("extract", timing, workplace, server)
    duration = time.monotonic() - began
    killer = Killer("extract", workplace, server, {"worker": 0.7, "decoder": 0.22, "server": 0.08})
    num_rounds = num_starts = 0
    while len(killer.kills) < NUM_EXTRACTION_KILLS:
        home = workplace / f"extraction-{num_rounds}"
        num_starts += killer.round(home, duration, NUM_EXTRACTION_KILLS)
        assert features_digest(workplace, home) == expected
        assert packs(home) >= packs(undisturbed)
        shutil.rmtree(home)
        num_rounds += 1
    states = check_states(server, num_before, num_rounds)
    note("kills-extraction", figures(killer, num_rounds, num_starts, duration, states))


def test_killed_at_20_moments_of_training(workplace: Path, server: PrefectServer, undisturbed: Path):
    num_before = server.states()["COMPLETED"]
    expected = json.loads((undisturbed / "train.json").read_text())
    base = workplace / "base"
    assert run("extract", base, workplace, server)
    initialise_database(Home(base))
    timing = shutil.copytree(base, workplace / "timing-training")
    began = time.monotonic()
    assert run("train", timing, workplace, server)
    duration = time.monotonic() - began
    killer = Killer("train", workplace, server, {"trainer": 0.9, "server": 0.1})
    num_rounds = num_starts = 0
    while len(killer.kills) < NUM_TRAINING_KILLS:
        home = shutil.copytree(base, workplace / f"training-{num_rounds}")
        num_starts += killer.round(home, duration, NUM_TRAINING_KILLS)
        check_equal(workplace, home, json.loads((home / "train.json").read_text()), (expected, undisturbed))
        assert epoch_metrics(home / "mlflow.db") == epoch_metrics(undisturbed / "mlflow.db")
        shutil.rmtree(home)
        num_rounds += 1
    states = check_states(server, num_before, num_rounds)
    note("kills-training", figures(killer, num_rounds, num_starts, duration, states))


def figures(
    killer: Killer, num_rounds: int, num_starts: int, duration: float, states: dict[str, int]
) -> dict[str, Any]:
    return {
        "num_kills": len(killer.kills),
        "victims": tally([kill.victim for kill in killer.kills]),
        "num_rounds": num_rounds,
        "num_starts": num_starts,
        "num_survived": killer.num_survived,
        "undisturbed_seconds": round(duration, 1),
        "flow_states": states,
        "kills": killer.kills,
    }
