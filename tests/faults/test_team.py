"""`iamsb train --processes 2`: as one process trains; a killed process, or a killed command, loses nothing."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from workplace import finish, log_file, make_dataset, start, wait_for

from tasks.team_launcher import _blamed
from tasks.teamwork import LostProcessError, _error, command_elsewhere
from tasks.train_job import TeamConfig

pytestmark = pytest.mark.xdist_group("team")

TOLERANCE = 2e-3
"""of dev metrics and of weights, after 15 steps of AdamW in float32"""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny forged dataset and a tiny training configuration: 5 epochs of 3 steps, a checkpoint after each."""
    return make_dataset(tmp_path_factory.mktemp("team"), num_clips=(6, 2, 1), epochs=5)


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
    wait_for(running, lambda: steps_done(home) >= 4)
    second = next(one for one in of_home(home, "tasks.team_member") if one.environ()["RANK"] == "1")
    second.send_signal(signal.SIGKILL)
    done = finish(running, home)
    assert "training process 2 was killed by signal 9" in log_file(home).read_text()
    assert done["metrics"] == shared[0]["metrics"]
    assert same_bits(home, shared[1])


@pytest.mark.slow
def test_processes_end_with_the_command_that_started_them(workplace: Path, shared: tuple[dict[str, Any], Path]) -> None:
    home = workplace / "command" / "home"
    running = start(workplace, home, "--processes", "2")
    wait_for(running, lambda: steps_done(home) >= 4)
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
