"""compare: two systems under the same conditions, one that fails, and what is left of it all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.bench import Contest, Terms
from flows.compare import CompareConfig, compare
from flows.train import TrainFlowConfig
from flows.variants import Variant
from storage.home import Home
from storage.mlflow_setup import connect

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_one_failure_costs_its_own_place(home: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Terms.training_of

    def spoilt(self: Terms, variant: Variant, seed: int) -> TrainFlowConfig:
        made = usual(self, variant, seed)
        if variant.system == "ba-tfd-plus":  # a configuration that no longer fits: its training fails, the others go on
            object.__setattr__(made, "system_config", {**made.system_config, "dim": 63})
        return made

    monkeypatch.setattr(Terms, "training_of", spoilt)
    config = CompareConfig(
        systems=("macb-df", "dense-localizer", "ba-tfd-plus"), seeds=(0, 1), size="compact", epochs=1, split="dev"
    )
    with pytest.raises(RuntimeError, match=r"2 trainings or evaluations failed.*ba-tfd-plus, seed 0"):
        compare([Contest(root=tiny_dataset)], config, home / "arena")
    document = json.loads((home / "arena" / "arena.json").read_text())
    (arena,) = document["datasets"]
    assert [one["system"] for one in arena["standings"]] == ["macb-df", "dense-localizer"]
    assert [run[0] for run in arena["standings"][0]["runs"]] == [0, 1]
    assert [one["system"] for one in document["failures"]] == ["ba-tfd-plus"] * 2
    assert document["epochs"] == 1
    page = (home / "arena" / "arena.html").read_text()
    assert "dense-localizer" in page
    assert "has no result" in page
    client = connect(Home.current())
    (run,) = client.search_runs(["1", "0"], filter_string="tags.kind = 'compare'")
    children = client.search_runs(["1", "0"], filter_string=f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert len(children) == 4 + 4, "the trainings and the evaluations"


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="each once"):
        CompareConfig(seeds=(1, 1))
    with pytest.raises(ValueError, match="each system once"):
        CompareConfig(systems=("iamsb", "iamsb"))
    with pytest.raises(ValueError, match="did you mean 'macb-df'"):
        compare([Contest(root=Path("nowhere"))], CompareConfig(systems=("macb",)))
    assert CompareConfig().everyone[0] == "iamsb"
    assert len(CompareConfig().everyone) > 4
