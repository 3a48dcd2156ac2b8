"""experiment: a question run from end to end on a few clips, what it leaves, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from flows.bench import Bench, Contest, Terms
from flows.experiment import ExperimentConfig, experiment
from flows.experiments import EXPERIMENTS, Experiment, experiment_named
from flows.variants import Variant
from storage.home import Home
from storage.mlflow_setup import connect
from storage.tracking import TrackedRun
from tasks.fitting import TrainedModel

SMALL = Terms(size="compact", epochs=1, num_clips=4, split="dev")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """No costs at a minute's length."""
    for name, one in EXPERIMENTS.items():
        monkeypatch.setitem(EXPERIMENTS, name, replace(one, cost_seconds=(2.0,)))


@pytest.mark.usefixtures("prefect_server", "cheap")
def test_a_question_is_answered(home: Path, tiny_dataset: Path):
    """Two variants of MACB-DF: what both recorded in training is read back, and another run trains nothing."""
    contests, config = [Contest(root=tiny_dataset)], ExperimentConfig(terms=SMALL)
    done = experiment("gradient-conflict", contests, config, home / "out")
    report = done.report
    assert [one.name for one in report.variants] == ["OM-Pareto", "gradients added"]
    assert report.variants[1].differs == "pareto: {enabled: false}"
    assert [one.variant for one in report.measured] == ["OM-Pareto", "gradients added"]
    assert [one.name for one in report.situations] == ["dev split"]
    assert report.measured[1].against
    assert any("OM-Pareto" in sentence for sentence in done.finding)
    assert "another seed may move" in done.finding[-1]
    document = json.loads((home / "out" / "gradient-conflict.json").read_text())
    assert document["finding"] == list(done.finding)
    assert "Do the unimodal and the multimodal gradient conflict" in done.html.read_text()
    client = connect(Home.current())
    children = client.search_runs(["1", "0"], filter_string=f"tags.`mlflow.parentRunId` = '{done.run_id}'")
    assert len(children) == 2 + 2, "the trainings and the evaluations"
    again = experiment("fusion-weights", contests, replace(config, only=("adaptive",)))
    assert len(again.report.variants) == 1
    assert again.report.variants[0].runs == report.variants[0].runs, "the reference is trained once for both"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "cheap")
def test_a_stream_held_back(home: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch):
    """A model that never heard, and clips that are silent; a training that fails costs its own place."""
    usual = Bench.train

    def train(self: Bench, variant: Variant, seed: int, run: TrackedRun | None = None) -> TrainedModel:
        if variant.hidden == ("visual",):
            raise MemoryError("no room")
        return usual(self, variant, seed, run)

    monkeypatch.setattr(Bench, "train", train)
    only = ("trained on both", "trained without sound", "trained without picture")
    config = ExperimentConfig(terms=SMALL, systems=("dense-localizer",), only=only)
    with pytest.raises(RuntimeError, match=r"1 trainings or evaluations failed.*trained without picture, seed 0"):
        experiment("missing-in-training", [Contest(root=tiny_dataset)], config, home / "out")
    document = json.loads((home / "out" / "missing-in-training.json").read_text())
    assert [one["name"] for one in document["situations"]] == ["both streams", "without sound", "without picture"]
    assert [one["reason"] for one in document["troubles"]] == ["MemoryError: no room"]
    assert len(document["measured"]) == 6
    assert document["measured"][-1]["streams"]["visual"]["0.5"] == 0.0, "who sees nothing finds nothing in the picture"


@pytest.mark.usefixtures("prefect_server")
def test_what_cannot_be_asked(tiny_dataset: Path, home: Path):
    here = Contest(root=tiny_dataset)
    refused = [
        ("cross-dataset", [here], ExperimentConfig(), "two datasets or more"),
        ("attention-window", [here, here], ExperimentConfig(), "about one dataset"),
        ("attention-window", [here], ExperimentConfig(systems=("iamsb",)), "leave out the other systems"),
        ("attention-window", [here], ExperimentConfig(kinds=("jpeg",)), "perturbs nothing"),
        ("attention-window", [here], ExperimentConfig(only=("8 cells",)), "no variant '8 cells'; there are 32 cells"),
        ("generalisation-gap", [here], ExperimentConfig(terms=Terms(epochs=2)), "sets the epochs itself"),
        ("generalisation-gap", [here], ExperimentConfig(terms=Terms(split="train")), "--preset unseen-methods"),
        ("missing-at-test", [here], ExperimentConfig(systems=("macb",)), "did you mean 'macb-df'"),
    ]
    for name, contests, config, words in refused:
        with pytest.raises(ValueError, match=words):
            experiment(name, contests, config)
    with pytest.raises(ValueError, match="did you mean 'attention-window'"):
        experiment_named("attention-windows")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_variant_can_be_built(name: str):
    """Each setting is one that the system and its schedule have."""
    asked = EXPERIMENTS[name]
    variants = asked.variants_of(())
    names = [one.name for one in variants]
    assert len(set(names)) == len(names)
    for one in variants:
        config = Terms(size="compact", encoders=asked.encoders).training_of(one, 3)
        assert config.training is not None
        assert config.training.seed == 3


def test_names_of_variants_and_conditions():
    asked = Experiment(
        about=EXPERIMENTS["robustness-levels"].about,
        variants=(Variant(name="plain"), Variant(name="odd")),
        systems=("macb-df", "mmms-ba"),
        kinds=("jpeg",),
        levels=(1, 5),
    )
    assert [(one.name, one.system) for one in asked.variants_of(("iamsb",))] == [("plain", "iamsb"), ("odd", "iamsb")]
    assert [one.name for one in asked.variants_of(())][1:3] == ["macb-df, odd", "mmms-ba, plain"]
    assert [one.name for one in asked.conditions_of((), ())] == ["", "jpeg:1", "jpeg:5"]
    assert [one.perturb for one in asked.conditions_of(("aac",), (3,))] == [(), ("aac:3",)]
    assert [one.name for one in EXPERIMENTS["missing-at-test"].variants_of(())][:1] == ["iamsb"]
