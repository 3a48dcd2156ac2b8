"""train, evaluate and localize, on a tiny dataset with a tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from prefect.exceptions import ParameterTypeError
from tiny_work import tiny_training

from flows.evaluate import evaluate
from flows.localize import localize
from flows.train import train
from storage.home import Home
from storage.mlflow_setup import connect
from storage.prediction_store import read_predictions
from storage.registry import get_alias, resolve_model
from tasks.fitting import TrainedModel

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture(scope="module")
def trained(
    tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: None
) -> tuple[TrainedModel, Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("models") / "home"
        patch.setenv("IAMSB_HOME", str(folder))
        return train(tiny_dataset, config=tiny_training()), folder


@pytest.fixture(autouse=True)
def home(trained: tuple[TrainedModel, Path], monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("IAMSB_HOME", str(trained[1]))
    return Home.current()


def test_the_first_model_is_the_champion_and_is_not_trained_twice(
    trained: tuple[TrainedModel, Path], tiny_dataset: Path, home: Home
):
    model = trained[0].model
    champion = get_alias(home)
    assert champion is not None
    assert champion.uri == model.uri
    again = train(tiny_dataset, config=tiny_training())
    assert again.reused
    assert again.run_id == trained[0].run_id


def test_a_training_that_the_tracking_store_does_not_know_is_logged_there_again(
    trained: tuple[TrainedModel, Path],
    tiny_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    shutil.copytree(trained[1], tmp_path / "home", ignore=shutil.ignore_patterns("mlflow*"))
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    again = train(tiny_dataset, config=tiny_training())
    assert not again.reused
    assert again.run_id != trained[0].run_id
    assert f"no run {trained[0].run_id!r}" in caplog.text
    assert resolve_model(Home.current(), again.model.uri)[1].sha256 == trained[0].model.sha256, (
        "nothing is trained anew"
    )
    assert train(tiny_dataset, config=tiny_training()).reused


def test_evaluate_scores_a_model_beside_the_baselines(trained: tuple[TrainedModel, Path], tiny_dataset: Path):
    done = evaluate(tiny_dataset, model=trained[0].model.uri)
    assert set(done.report.ap) == {"0.5", "0.75", "0.9", "0.95"}
    assert set(done.report.streams) == {"audio", "visual"}
    assert set(done.baselines) == {"random", "untrained"}
    assert done.report.counts.clips == 3
    stored = read_predictions(Path(done.predictions.path))
    assert sorted(stored.predictions) == sorted(f"test/{path.name}" for path in (tiny_dataset / "test").glob("*.mp4"))


def test_the_registry_says_what_a_model_is(trained: tuple[TrainedModel, Path], tiny_dataset: Path, home: Home):
    def described() -> str:
        return str(connect(home).get_model_version("iamsb", trained[0].model.version).description)

    done = evaluate(tiny_dataset, model=trained[0].model.uri, protocol="activitynet")
    assert f"### {tiny_dataset.name} (lavdf), test split, protocol activitynet" in described()
    assert "dev split" in described()
    with TemporaryDirectory() as folder:
        path = Path(connect(home).download_artifacts(trained[0].run_id, "model_card", folder))
        card = (path / "model_card.md").read_text()
        assert "| train | 6 |" in card
        assert (path / "model_card.html").read_text().startswith("<!DOCTYPE html>")
    assert f"{100 * done.report.ap['0.5']:.1f} (" in card.split("protocol activitynet")[1].split("\n###")[0]
    evaluate(tiny_dataset, model=trained[0].model.uri, split="dev", baselines=False)
    assert "### tiny (lavdf), dev split, protocol lavdf" in described(), "told once: from the training"
    assert described().count("dev split, protocol") == 1


def test_localize_reports_and_a_bad_file_is_a_result_too(
    trained: tuple[TrainedModel, Path], tiny_dataset: Path, tmp_path: Path
):
    video = min((tiny_dataset / "test").glob("*.mp4"))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    good, bad = localize([video, broken], trained[0].model.uri, tmp_path / "out")
    assert (good.state, bad.state) == ("done", "failed")
    assert good.report_json is not None
    report = json.loads(good.report_json.read_text())
    assert report["model"]["uri"] == trained[0].model.uri
    assert good.report_html is not None
    assert good.report_html.parent == tmp_path / "out" / video.stem
    assert bad.error
    with pytest.raises(RuntimeError, match="none of 1 videos could be examined"):
        localize([broken], trained[0].model.uri, tmp_path / "out2")
    with pytest.raises(ValueError, match="no file"):
        localize([tmp_path / "nowhere.mp4"], trained[0].model.uri)


def test_a_report_says_what_an_evaluation_says(trained: tuple[TrainedModel, Path], tiny_dataset: Path, tmp_path: Path):
    video = min((tiny_dataset / "test").glob("*.mp4"))
    (reported,) = localize([video], trained[0].model.uri, tmp_path / "out")
    done = evaluate(tiny_dataset, model=trained[0].model.uri, baselines=False)
    predicted = read_predictions(Path(done.predictions.path)).predictions[f"test/{video.name}"]
    assert reported.clip_score == pytest.approx(predicted.clip_score, abs=1e-4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"system": "iambs"}, "did you mean 'iamsb'"),
        ({"system_config": {"dims": 3}}, "did you mean 'dim'"),
        ({"training": {"epoch": 3}}, "epoch"),
        ({"training": {"epochs": 0}}, "epochs of at least 1"),
    ],
)
def test_a_wrong_training_is_refused_before_anything_runs(config: dict[str, object], message: str):
    with pytest.raises(ParameterTypeError, match=message):
        train(Path("nowhere"), config=config)


def test_an_unreadable_model_is_one_clear_error(tiny_dataset: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="`iamsb train` prints"):
        evaluate(tiny_dataset, model=str(tmp_path))
    with pytest.raises(ValueError, match="cannot find the model 'models:/iamsb/99'"):
        evaluate(tiny_dataset, model="models:/iamsb/99")
