"""tune, and the experiment over it: tiny encoders learn on drawn clips, and are then encoders like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from prefect import flow

from flows.bench import Bench, Contest, Terms
from flows.experiment import ExperimentConfig, experiment
from flows.experiments import EXPERIMENTS
from flows.tune import TuneFlowConfig, tune
from flows.variants import Variant
from iamsb_core.encoders.load import encoder_specs, resolve_spec
from iamsb_core.training.model_folder import load_model
from iamsb_core.training.tuning_config import TuneConfig
from storage.home import Home
from storage.mlflow_setup import connect
from storage.registry import resolve_model
from tasks.fitting import TrainedModel

QUICK = {"head_epochs": 1, "epochs": 1, "batch_size": 4, "audio_window_seconds": 0.5, "visual_window_seconds": 0.2}


@pytest.fixture
def pair(tiny_encoders: dict[str, Path]) -> str:
    return f"wavlm:{tiny_encoders['wavlm']}@-1+clip:{tiny_encoders['clip']}@-1"


@pytest.mark.usefixtures("prefect_server")
def test_a_pair_is_tuned_once(home: Path, tiny_dataset: Path, pair: str):
    """Folders that are read as any encoder's, a record beside them, a run; the same again costs nothing."""
    config = TuneFlowConfig(encoders=f"{pair},5hz", tuning=TuneConfig(**QUICK, num_clips=5))
    done = tune(tiny_dataset, "lavdf", config)
    assert [one.stream for one in done.tuned] == ["audio", "visual"]
    specs = [resolve_spec(spec) for spec in encoder_specs(done.encoders)]
    assert [spec.weights_digest for spec in specs] == [one.weights_digest for one in done.tuned]
    assert specs[1].view is not None
    assert specs[1].view.rate_hz == 5.0
    for one, base in zip(done.tuned, encoder_specs(pair), strict=True):
        assert one.folder.parent == home / "encoders"
        assert one.weights_digest != one.base_digest == resolve_spec(base).weights_digest
        assert one.num_train <= 5
        record = json.loads((one.folder / "tuning.json").read_text())
        assert [epoch["is_tuning"] for epoch in record["epochs"]] == [False, True]
        assert record["epochs"][1]["dev_auc"] == one.dev_auc
        assert record["config"]["seed"] == 0
        metrics = connect(Home.current()).get_run(one.run_id).data.metrics
        assert metrics["dev_auc_before"] == pytest.approx(one.dev_auc_before)
    again = tune(tiny_dataset, "lavdf", config)
    assert again == replace(done, tuned=tuple(replace(one, reused=True) for one in done.tuned))
    (done.tuned[0].folder / "config.json").write_text("{}")
    mended = tune(tiny_dataset, "lavdf", config)
    assert [one.reused for one in mended.tuned] == [False, True]
    assert mended.tuned[0].weights_digest == done.tuned[0].weights_digest, "the same seed, the same weights"


@pytest.mark.usefixtures("prefect_server")
def test_a_variant_whose_encoders_learn_first(home: Path, tiny_dataset: Path, pair: str):
    """A system is trained on the features of what was tuned, and remembers which encoder it needs."""
    encoders = f"{pair.partition('+')[0]}+handcrafted,5hz"
    terms = Terms(size="compact", epochs=1, num_clips=4, encoders=encoders, tuning=QUICK)
    bench = Bench(Contest(root=tiny_dataset), terms)

    @flow(name="one-variant")
    def one_variant() -> TrainedModel:
        return bench.train(Variant(name="last block", system="macb-df", tuning={"blocks": 1}), 0)

    trained = one_variant()
    card = load_model(trained.folder / "model").card
    folder = Path(card.audio_encoder.weights)
    assert folder.parent == home / "encoders"
    record = json.loads((folder / "tuning.json").read_text())
    assert record["config"]["num_clips"] == 4, "on no other clips than the system"
    assert record["tuned"]["weights_digest"] == card.audio_encoder.weights_digest
    assert card.visual_encoder.name == "handcrafted-video"


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_frozen_against_tuned(home: Path, tiny_dataset: Path, pair: str, monkeypatch: pytest.MonkeyPatch):
    """One command trains the same system on the features of each; a model remembers which encoders it needs."""
    usual = EXPERIMENTS["encoder-tuning"]
    monkeypatch.setitem(EXPERIMENTS, "encoder-tuning", replace(usual, cost_seconds=(2.0,)))
    terms = Terms(size="compact", epochs=1, num_clips=4, split="dev", encoders=f"{pair},5hz", tuning=QUICK)
    only = ("frozen", "all blocks tuned")
    config = ExperimentConfig(terms=terms, systems=("macb-df",), only=only)
    done = experiment("encoder-tuning", [Contest(root=tiny_dataset)], config)
    assert [one.variant for one in done.report.measured] == list(only)
    frozen, tuned = done.report.variants
    assert frozen.differs == ""
    assert tuned.differs == "tuning: {blocks: null}"
    found = [load_model(resolve_model(Home.current(), one.runs[0][2])[0]).card for one in (frozen, tuned)]
    assert [card.audio_encoder.weights for card in found[:1]] == [encoder_specs(pair)[0].weights]
    assert Path(found[1].audio_encoder.weights).parent == home / "encoders"
    assert found[0].visual_encoder.identity != found[1].visual_encoder.identity


@pytest.mark.usefixtures("prefect_server")
def test_what_cannot_be_asked_of_tuning(tiny_dataset: Path, home: Path, pair: str, tmp_path: Path):
    config = ExperimentConfig(terms=Terms(encoders="handcrafted"))
    with pytest.raises(ValueError, match="'handcrafted' have no weights that could be tuned"):
        experiment("encoder-tuning", [Contest(root=tiny_dataset)], config)
    with pytest.raises(ValueError, match="tuning of odd has no key 'block'; did you mean 'blocks'"):
        Terms(encoders=pair).training_of(Variant(name="odd", system="macb-df", tuning={"block": 1}), 0)
    config = ExperimentConfig(terms=Terms(tuning=QUICK))
    with pytest.raises(ValueError, match="tunes no encoder"):
        experiment("missing-at-test", [Contest(root=tiny_dataset)], config)
    clips = sorted((tiny_dataset / "train").glob("*.mp4"))[:2]
    for path in clips:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rows = [f"{path.name},{split},clip,either" for path, split in zip(clips, ("train", "dev"), strict=True)]
    table = tmp_path / "manifest.csv"
    table.write_text("\n".join(["path,split,label,modality", *rows]) + "\n")
    with pytest.raises(ValueError, match="not in which stream"):
        tune(table, "generic", TuneFlowConfig(encoders=pair))
