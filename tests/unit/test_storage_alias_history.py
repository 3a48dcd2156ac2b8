"""The champion's history in the registry, and the way back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.cli import main
from flows.terminal import DONE, FAILED, WRONG_USAGE
from storage.alias_history import AliasMove, alias_moves, trail
from storage.home import Home
from storage.mlflow_setup import connect
from storage.registry import get_alias, roll_back, rolled_back, set_alias
from storage.staging import exclusive_now


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A registry with three versions and no champion."""
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    made = Home.current()
    client = connect(made)
    client.create_registered_model("iamsb")
    for _ in range(3):
        client.create_model_version("iamsb", str(tmp_path))
    return made


def champion(home: Home) -> str:
    found = get_alias(home)
    return "" if found is None else found.version


def test_going_back_retraces_the_way_and_is_noted(home: Home):
    for version in ("1", "2", "3"):
        set_alias(home, version, why=f"promotes {version}")
    set_alias(home, "3")
    first = roll_back(home)
    assert (first.before, first.version, first.earlier) == ("3", "2", ("1",))
    second = roll_back(home)
    assert (second.before, second.version, second.earlier) == ("2", "1", ())
    with pytest.raises(ValueError, match="version 1 is the first champion"):
        roll_back(home)
    assert rolled_back(home) == ("3", "2")
    set_alias(home, "3", why="again")
    assert rolled_back(home) == ("2",)
    assert roll_back(home).version == "1", "what was rolled back is not come back to"
    moves = alias_moves(connect(home), "iamsb", "champion")
    assert [(move.before, move.version, move.way) for move in moves] == [
        ("", "1", "forward"),
        ("1", "2", "forward"),
        ("2", "3", "forward"),
        ("3", "2", "back"),
        ("2", "1", "back"),
        ("1", "3", "forward"),
        ("3", "1", "back"),
    ]
    assert moves[1].why == "promotes 2"


def test_going_back_to_a_named_version_and_refusals_change_nothing(home: Home):
    with pytest.raises(ValueError, match="no champion to go back from"):
        roll_back(home)
    set_alias(home, "3")
    for version, message in [("9", "no version 9"), ("3", "is the champion already")]:
        with pytest.raises(ValueError, match=message):
            roll_back(home, version)
    assert champion(home) == "3"
    assert roll_back(home, "1").version == champion(home) == "1"


def test_a_move_that_others_made_is_part_of_the_way(home: Home):
    connect(home).set_registered_model_alias("iamsb", "champion", "1")
    set_alias(home, "2")
    connect(home).set_registered_model_alias("iamsb", "champion", "3")
    assert roll_back(home).version == "2"
    assert roll_back(home).version == "1"


def test_the_command_says_what_it_did(home: Home, capfd: pytest.CaptureFixture[str]):
    assert main(["rollback"]) == FAILED
    assert "`iamsb train` makes the first one" in capfd.readouterr().err
    for version in ("1", "2"):
        set_alias(home, version)
    assert main(["rollback", "--json"]) == DONE
    told = json.loads(capfd.readouterr().out)
    assert told == {"alias": "champion", "version": "1", "before": "2", "earlier": []}
    assert main(["rollback", "3"]) == DONE
    assert "champion: version 1 -> version 3" in capfd.readouterr().out
    assert main(["rollback", "three"]) == WRONG_USAGE


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_steps_back_undo_steps_forward(steps: list[int]):
    """0 goes back where that is possible, another number goes forward to that version; against a plain stack."""
    stack, moves = ["9"], [AliasMove.now("9", "")]
    for step in steps:
        before = stack[-1]
        if step and str(step) not in stack:
            stack.append(str(step))
            moves.append(AliasMove.now(str(step), before))
        elif not step and len(stack) > 1:
            stack.pop()
            moves.append(AliasMove.now(stack[-1], before, way="back"))
        assert trail(moves, stack[-1]) == tuple(stack)


def test_a_lock_that_is_held_says_by_whom_and_dies_with_its_process(tmp_path: Path):
    lock = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from storage.staging import exclusive_now\n"
        f"with exclusive_now(Path({str(lock)!r}), 'process A') as other: print(other, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "None\n"
        with exclusive_now(lock, "process B") as other:
            assert other == "process A"
        holder.kill()
    with exclusive_now(lock, "process B") as other:
        assert other is None
        assert lock.read_text() == "process B"
