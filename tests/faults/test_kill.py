"""SIGKILL at any moment, the same command again: the same features and the same model as an undisturbed run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from workplace import check_equal, finish, flow_states, kill_when, make_dataset, num_checkpoints, num_packs, start

pytestmark = pytest.mark.xdist_group("kill")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny forged dataset and a tiny training configuration."""
    return make_dataset(tmp_path_factory.mktemp("kill"))


@pytest.fixture(scope="module")
def undisturbed(workplace: Path) -> tuple[dict[str, Any], Path]:
    home = workplace / "undisturbed" / "home"
    return finish(start(workplace, home), home), home


def test_killed_while_extracting_and_while_training(workplace: Path, undisturbed: tuple[dict[str, Any], Path]):
    home = workplace / "killed" / "home"
    kill_when(start(workplace, home), lambda: num_packs(home) >= 2)
    assert num_packs(home) < num_packs(undisturbed[1])
    kill_when(start(workplace, home), lambda: num_checkpoints(home) >= 1)
    done = finish(start(workplace, home), home)
    check_equal(workplace, home, done, undisturbed)
    left = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("IAMSB_HOME") == str(home)]
    assert not left, "what a killed command leaves behind is ended by the next one"
    # two commands were killed inside `extract` and inside `train`, each of which is a flow within the flow `train`
    states = flow_states(home)
    assert states.keys() == {"COMPLETED", "CRASHED"}, "no run that was killed is shown as running"
    assert states["CRASHED"] == 3


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "starting": lambda home: (home / "prefect" / "prefect.db").exists(),
    "fingerprinting": lambda home: (home / "media.sqlite").exists(),
    "staging a pack": lambda home: any(home.glob("features/.staging/*")),
    "first pack": lambda home: num_packs(home) >= 1,
    "last pack": lambda home: num_packs(home) >= 10,
    "run made": lambda home: any(home.glob("runs/*/run.json")),
    "second checkpoint": lambda home: num_checkpoints(home) >= 2,
    "model kept": lambda home: any(home.glob("runs/*/model/card.json")),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_killed_at_any_moment(moment: str, workplace: Path, undisturbed: tuple[dict[str, Any], Path]):
    home = workplace / moment.replace(" ", "-") / "home"
    kill_when(start(workplace, home), lambda: MOMENTS[moment](home))
    check_equal(workplace, home, finish(start(workplace, home), home), undisturbed)
