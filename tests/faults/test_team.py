"""`iamsb train --processes 2`: as one process trains; a killed process, or a killed command, loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from flows.train import TrainFlowConfig
from iamsb_core.digest import plain
from iamsb_core.forgery.config import ForgeConfig, SyntheticConfig
from iamsb_core.forgery.forge import forge
from iamsb_core.systems.iamsb.config import CoarseConfig, NeckConfig, compact
from iamsb_core.training.config import TrainConfig
from tasks.team_launcher import _blamed
from tasks.teamwork import LostProcessError, _error, command_elsewhere
from tasks.train_job import TeamConfig

pytestmark = pytest.mark.xdist_group("team")

WAIT_SECONDS = 900
TOLERANCE = 2e-3
"""of dev metrics and of weights, after 15 steps of AdamW in float32"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny forged dataset and a tiny training configuration: 5 epochs of 3 steps, a checkpoint after each."""
    folder = tmp_path_factory.mktemp("team")
    forgery = ForgeConfig(
        num_clips=(6, 2, 1),
        people_shares=(1.0, 1.0, 1.0),
        clip_seconds=(2.4, 2.6),
        segment_seconds=(0.2, 1.0),
        synthetic=SyntheticConfig(num_people=3, seconds_per_person=4.0),
    )
    forge(None, folder / "data", forgery, num_workers=1)
    neck, coarse = NeckConfig(num_blocks=1, expansion=1, edge_dim=8), CoarseConfig(num_queries=12, hidden_multiple=1)
    training = TrainConfig(epochs=5, batch_size=2, checkpoint_every_steps=1)
    config = TrainFlowConfig(
        system_config=plain(replace(compact(), dim=32, neck=neck, coarse=coarse)), training=training, device="cpu"
    )
    (folder / "config.json").write_text(json.dumps(plain(config)))
    return folder


def start(workplace: Path, home: Path, *options: str) -> subprocess.Popen[bytes]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "IAMSB_"))}
    command = ["-m", "flows.cli", "train", "lavdf", str(workplace / "data"), "--json", *options]
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".log").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, *command, "--config", str(workplace / "config.json")],
            env=variables | {"IAMSB_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def finish(process: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, output.decode() + home.with_suffix(".log").read_text()[-3000:]
    return json.loads(output)


def until(moment: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not moment():
        assert process.poll() is None, "the command ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def steps_done(home: Path) -> int:
    return max((int(place.name.split("-")[1]) for place in home.glob("runs/*/checkpoints/step-*")), default=0)


def of_home(home: Path, module: str) -> list[psutil.Process]:
    """The processes that run a module for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if module in process.cmdline() and process.environ().get("IAMSB_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def weights(home: Path) -> dict[str, torch.Tensor]:
    (path,) = home.glob("runs/*/model/model.safetensors")
    return load_file(path)


def same_bits(home: Path, other: Path) -> bool:
    mine, theirs = weights(home), weights(other)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.fixture(scope="module")
def shared(workplace: Path) -> tuple[dict[str, Any], Path]:
    """An undisturbed training of two processes."""
    home = workplace / "shared" / "home"
    return finish(start(workplace, home, "--processes", "2"), home), home


@pytest.mark.slow
def test_two_processes_give_the_model_of_one(workplace: Path, shared: tuple[dict[str, Any], Path]) -> None:
    home = workplace / "alone" / "home"
    alone = finish(start(workplace, home), home)
    assert shared[0]["metrics"] == pytest.approx(alone["metrics"], rel=TOLERANCE, abs=TOLERANCE)
    torch.testing.assert_close(weights(shared[1]), weights(home), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_training_goes_on(
    workplace: Path, shared: tuple[dict[str, Any], Path]
) -> None:
    home = workplace / "member" / "home"
    running = start(workplace, home, "--processes", "2")
    until(lambda: steps_done(home) >= 4, running)
    second = next(one for one in of_home(home, "tasks.team_member") if one.environ()["RANK"] == "1")
    second.send_signal(signal.SIGKILL)
    done = finish(running, home)
    assert "training process 2 was killed by signal 9" in home.with_suffix(".log").read_text()
    assert done["metrics"] == shared[0]["metrics"]
    assert same_bits(home, shared[1])


@pytest.mark.slow
def test_processes_end_with_the_command_that_started_them(workplace: Path, shared: tuple[dict[str, Any], Path]) -> None:
    home = workplace / "command" / "home"
    running = start(workplace, home, "--processes", "2")
    until(lambda: steps_done(home) >= 4, running)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    orphans = of_home(home, "tasks.team_member") + of_home(home, "tasks.team_launcher")
    _, alive = psutil.wait_procs(orphans, timeout=120)
    assert not alive
    assert steps_done(home) < 15
    done = finish(start(workplace, home, "--processes", "2"), home)
    assert done["metrics"] == shared[0]["metrics"]
    assert same_bits(home, shared[1])


class Failure:
    """What torch tells of one process."""

    def __init__(self, exitcode: int, message: Any, timestamp: int = 0) -> None:
        self.exitcode, self.message, self.timestamp = exitcode, message, timestamp


def test_the_failure_that_began_it_is_the_one_told(tmp_path: Path) -> None:
    lost = Failure(1, {"message": "RuntimeError: connection closed by peer", "extraInfo": {}}, 1)
    told = _blamed({0: lost, 1: Failure(-9, "Signal 9 (SIGKILL) received", 2)})
    assert (told["rank"], told["code"]) == (1, -9)
    error = _error(told, 1, tmp_path / "team.log")
    assert isinstance(error, LostProcessError)
    assert str(error).startswith("training process 2 was killed by signal 9; run the same command again to go on")
    ended = Failure(-15, "Signal 15 (SIGTERM) received", 0)
    assert _blamed({0: ended, 1: Failure(-9, "Signal 9 (SIGKILL) received", 2)})["rank"] == 1
    assert _blamed({0: ended, 1: lost})["rank"] == 1
    users = _blamed({0: Failure(1, {"message": "ValueError: 4 processes cannot share", "extraInfo": {}})})
    assert isinstance(_error(users, 1, tmp_path), ValueError)
    assert str(_error(users, 1, tmp_path)) == "4 processes cannot share"
    assert "code 1" in str(_error(None, 1, tmp_path))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"processes": 0}, "processes of at least 1, got 0"),
        ({"machines": 2}, "2 machines need a rendezvous"),
        ({"rendezvous": "here"}, "HOST:PORT, such as 10.0.0.1:29500, got 'here'"),
    ],
)
def test_a_team_that_cannot_meet_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TeamConfig(**fields)


def test_other_machines_are_told_the_command() -> None:
    team = TeamConfig(processes=4, machines=2, rendezvous="head:29500")
    assert command_elsewhere(team) == (
        "`torchrun --nnodes 2 --node-rank 1 --nproc-per-node 4 --master-addr head --master-port 29500 "
        "-m tasks.team_member`"
    )
