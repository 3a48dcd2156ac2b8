"""reproduce: one training, its inference-only points, the page and the record; and with `slow` every bridge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.reproduce import ReproduceConfig, reproduce
from iamsb_core.systems.iamsb.variants import SWEEPS, SweepPoints
from storage.home import Home
from storage.mlflow_setup import connect
from tasks.reproducing import Reproduced

pytestmark = pytest.mark.usefixtures("prefect_server")


def study(dataset: Path, out: Path, points: SweepPoints) -> Reproduced:
    config = ReproduceConfig(points=points, size="compact", epochs=1, split="dev", num_replicates=10)
    return reproduce(dataset, "lavdf", config, out)


def test_points_that_need_no_training_share_one(home: Path, tiny_dataset: Path) -> None:
    points = SweepPoints(witnesses=(2, 16), step_budgets=(0, 8), sweeps=("witnesses", "step-budget", "allocation"))
    done = study(tiny_dataset, home / "study", points)
    by_name = {one.variant.name: one for one in done.found.results}
    given = ["even budgets", "witnesses for 50% of a row", "witnesses for 90% of a row"]
    given += ["early stop below 40%", "early stop below 60%"]
    assert list(by_name) == ["full", "k = 2", "k = 16", "S_tgt = 0", "S_tgt = 8", *given]
    full = by_name["full"]
    assert {run[1] for one in done.found.results for run in one.runs} == {full.runs[0][1]}
    for same in ("k = 16", "S_tgt = 8"):
        assert by_name[same].runs == full.runs
        assert by_name[same].metrics == full.metrics
    assert by_name["k = 2"].runs[0][2] != full.runs[0][2]
    assert by_name["S_tgt = 0"].steps is None
    even = by_name["even budgets"].steps
    assert even is None or even.forged_share == pytest.approx(0.5)
    document = json.loads(done.json.read_text())
    assert [one["variant"]["name"] for one in document["results"]] == list(by_name)
    assert "S_tgt = 0" in done.html.read_text()
    client = connect(Home.current())
    known = [one.experiment_id for one in client.search_experiments()]
    children = client.search_runs(known, filter_string=f"tags.`mlflow.parentRunId` = '{done.run_id}'")
    assert len(children) == 1 + 3 + len(given)  # the training, and one evaluation for each set of settings
    names = {run.info.run_name for run in children}
    assert any("witness.num_witnesses=2" in name for name in names)


@pytest.mark.slow
def test_every_sweep_of_the_paper(home: Path, tiny_dataset: Path) -> None:
    done = study(tiny_dataset, home / "study", SweepPoints())
    assert {one.variant.sweep for one in done.found.results} == set(SWEEPS)
    trained = {run[1] for one in done.found.results for run in one.runs}
    assert len(trained) == 5 + 2  # the bridges, and S_c of 1 and 3
    assert "55.92" in done.html.read_text()
    again = study(tiny_dataset, home / "again", SweepPoints())
    assert {run[1] for one in again.found.results for run in one.runs} == trained


def test_what_cannot_be_reproduced_is_refused() -> None:
    with pytest.raises(ValueError, match="each once"):
        ReproduceConfig(seeds=(1, 1))
    with pytest.raises(ValueError, match="no protocol"):
        ReproduceConfig(protocol="lavdv")
