"""Views of a dataset through the flows: cached like any other features, and a suite from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL
from tiny_work import TINY

from flows.cli import main
from flows.evaluate import evaluate
from flows.extract import ExtractConfig, Extraction, extract
from flows.robustness import pinned, robustness
from iamsb_core.digest import plain
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.media.perturbations.spec import KIND_NAMES, LEVELS
from iamsb_core.systems.base import create_system
from iamsb_core.training.model_folder import ModelCard, save_model
from iamsb_core.training.seeding import seeded
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.refs import ModelRef
from tasks.features import take_stock

pytestmark = pytest.mark.usefixtures("prefect_server")

NUM_CLIPS = 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("robustness") / "home"


@pytest.fixture(autouse=True)
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IAMSB_HOME", str(home))
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())


@pytest.fixture
def model(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A tiny model with its first weights: what it finds is of no account here."""
    clean = view(tiny_dataset)
    card = ModelCard(
        system="iamsb",
        system_config=plain(TINY),
        streams=StoredFeatures(FeatureStore(clean.store), clean.audio, clean.visual).streams,
        audio_encoder=clean.audio,
        visual_encoder=clean.visual,
        window_seconds=10.0,
    )
    with seeded(0):
        return save_model(tmp_path / "model", create_system("iamsb", card.streams, TINY).state_dict(), card)


def view(tiny_dataset: Path, *perturb: str, shard_size: int = 64) -> Extraction:
    return extract(tiny_dataset, config=ExtractConfig(splits=("test",), perturb=perturb, shard_size=shard_size))


def features(tiny_dataset: Path, done: Extraction) -> dict[tuple[str, Modality], np.ndarray]:
    """Of every clip and stream."""
    videos = take_stock.fn("lavdf", tiny_dataset, Home.current(), ("test",)).manifest.videos
    source = StoredFeatures(FeatureStore(done.store), done.audio, done.visual)
    stored = {(video.video_id, stream): source.read(video, stream) for video in videos for stream in STREAMS}
    return {name: one.track.main.values for name, one in stored.items() if one is not None}


def test_a_view_is_extracted_once_and_only_the_stream_that_it_changes(tiny_dataset: Path):
    clean = view(tiny_dataset)
    noisy = view(tiny_dataset, "sound-noise:5")
    assert noisy.num_decoded == NUM_CLIPS
    assert noisy.visual == clean.visual, "the picture's features are those of the clean clips"
    assert view(tiny_dataset, "sound-noise:5").num_cached_shards == noisy.num_shards
    assert view(tiny_dataset).num_cached_shards == clean.num_shards, "nobody's features are lost"

    store = FeatureStore(noisy.store)
    assert len(store.identities()) == 2 + 1
    assert store.verify().is_sound
    before, after = features(tiny_dataset, clean), features(tiny_dataset, noisy)
    assert before.keys() == after.keys()
    for (name, stream), values in after.items():
        assert values.shape == before[name, stream].shape
        assert np.array_equal(values, before[name, stream]) == (stream is Modality.VISUAL)

    shutil.rmtree(store.packs(noisy.audio.identity)[0].folder)
    assert view(tiny_dataset, "sound-noise:5").num_decoded > 0
    again = features(tiny_dataset, noisy)
    assert all(np.array_equal(again[key], after[key]) for key in after), "the same noise, in whatever company"


def test_a_wrong_view_is_refused_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path / "untouched"
    monkeypatch.setenv("IAMSB_HOME", str(home))
    with pytest.raises(ParameterTypeError, match="did you mean 'jpeg'"):
        extract(Path("nowhere"), config={"perturb": ["jepg:1"]})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="levels 1 to 5"):
        evaluate(Path("nowhere"), perturb=("jpeg:9",))
    with pytest.raises(ParameterTypeError, match="kinds"):
        robustness(Path("nowhere"), kinds=("jepg",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one kind"):
        robustness(Path("nowhere"), kinds=())
    assert not home.exists()


def test_the_suite_from_the_command_line(model: Path, tiny_dataset: Path, capfd: pytest.CaptureFixture[str]):
    capfd.readouterr()
    data, uri = ("lavdf", str(tiny_dataset)), ("--model", str(model))
    assert main(["robustness", *data, *uri, "--kinds", "saturation,resample", "--levels", "5", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    found = [(row["kind"], row["level"]) for row in document["table"]]
    assert found == [("", 0), ("saturation", 5), ("resample", 5)]
    assert document["num_clips"] == NUM_CLIPS
    assert Path(document["html"]).read_text().count('<svg class="chart"') == 2
    assert json.loads(Path(document["html"]).with_suffix(".json").read_text())["table"] == document["table"]

    client = MlflowClient(tracking_uri=document["mlflow"])
    assert client.get_run(document["run_id"]).info.status == "FINISHED"
    steps = {one.step: one.value for one in client.get_metric_history(document["run_id"], "ap_0.5/resample")}
    fused = [view["report"]["ap"]["0.5"] for view in (document["clean"], document["views"][1])]
    assert steps == dict(zip((0, 5), fused, strict=True))
    children = [document["clean"]["run_id"], *(one["run_id"] for one in document["views"])]
    tags = [client.get_run(child).data.tags for child in children]
    assert {tag["mlflow.parentRunId"] for tag in tags} == {document["run_id"]}
    assert [tag.get("iamsb.perturbations") for tag in tags][-1] == "resample:5"

    assert main(["evaluate", *data, *uri, "--perturb", "resample:5", "--json"]) == 0
    alone = json.loads(capfd.readouterr().out)
    assert alone["ap"] == document["views"][-1]["report"]["ap"], "from the features that the suite left"
    assert main(["extract", *data, "--perturb", "saturation:9", "--json"]) == 1
    assert "levels 1 to 5" in json.loads(capfd.readouterr().out)["error"]
    assert main(["robustness", *data, "--levels", "x", "--json"]) == 2


def test_a_suite_names_the_version_that_an_alias_points_to_when_it_starts():
    champion = ModelRef(uri="models:/iamsb@champion", run_id="r", sha256="s", version="7")
    assert pinned(champion) == "models:/iamsb/7"
    folder = ModelRef(uri="/data/me@home/model", run_id="", sha256="s")
    assert pinned(folder) == folder.uri


@pytest.mark.slow
def test_every_kind_at_every_level(model: Path, tiny_dataset: Path, tmp_path: Path):
    done = robustness(tiny_dataset, model=str(model), out=tmp_path)
    assert len(done.report.views) == len(KIND_NAMES) * len(LEVELS) == 60
    assert {one.num_unusable for one in done.report.views} == {0}
    assert done.html == tmp_path / "robustness.html"
    assert done.html.read_text().count('<svg class="chart"') == len(KIND_NAMES)
