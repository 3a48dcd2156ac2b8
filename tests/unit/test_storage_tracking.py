"""MLflow: runs that survive a kill, models without pickle, and URIs that say what is wrong with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from iamsb_core.training.model_folder import CARD_FILE, WEIGHTS_FILE, model_sha256
from storage.git_commit import git_commit
from storage.home import Home
from storage.mlflow_setup import connect, mlflow_quiet
from storage.refs import ModelRef
from storage.registry import get_alias, log_model, register_model, resolve_model, set_alias
from storage.tracking import flat, metric_name, start_run


@dataclass(frozen=True)
class Inner:
    rate: float = 1e-3


@dataclass(frozen=True)
class Config:
    epochs: int = 3
    inner: Inner = Inner()
    note: str = "n" * 600


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "final"
    folder.mkdir()
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    (folder / CARD_FILE).write_text('{"format": "iamsb-model-v1"}')
    return folder


def test_a_run_holds_what_was_logged(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with start_run(home, "first", tags={"system": "iamsb"}) as run:
        run.log_config(Config())
        run.log_dataset("lavdf", "d" * 64, context="training", source={"root": Path("/data")}, profile={"num": 3})
        for step in range(3):
            run.log_metrics({"loss": 1.0 / (step + 1), "ap@0.5": 0.5}, step)
        run.log_file(tmp_path / "a.txt")
        run.log_file(tmp_path / "a.txt", "notes")
        run.log_figure(Figure(), "curve.png")
    found = run.client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"epochs": "3", "inner.rate": "0.001"}
    assert [m.value for m in run.client.get_metric_history(run.run_id, "loss")] == [1.0, 0.5, 1 / 3]
    assert found.data.metrics["ap_0.5"] == 0.5
    assert found.data.tags["system"] == "iamsb"
    (used,) = found.inputs.dataset_inputs
    assert json.loads(used.dataset.source) == {"root": "/data", "digest": "d" * 64}
    assert used.tags[0].value == "training"
    files = {file.path for file in run.client.list_artifacts(run.run_id)}
    assert files == {"config.json", "notes", "a.txt", "curve.png"}
    assert home.artifacts in Path(found.info.artifact_uri.removeprefix("file://")).parents
    config = json.loads(Path(run.client.download_artifacts(run.run_id, "config.json")).read_text())
    assert config["note"] == "n" * 600


def test_a_resumed_run_goes_on_where_it_stopped(home: Home) -> None:
    undisturbed = start_run(home, "whole")
    for step in range(4):
        undisturbed.log_metrics({"loss": 10.0 - step}, step)
    undisturbed.finish()
    killed = start_run(home, "killed")
    killed.log_config(Config())
    for step in range(3):
        killed.log_metrics({"loss": 10.0 - step}, step)
    killed.flush()  # and then the process is gone, its last checkpoint being that of step 1
    with start_run(home, "killed", run_id=killed.run_id) as again:
        again.log_config(Config())
        for step in range(2, 4):
            again.log_metrics({"loss": 10.0 - step}, step)
    histories = [
        [(m.step, m.value) for m in again.client.get_metric_history(run.run_id, "loss")] for run in (undisturbed, again)
    ]
    assert histories[0] == histories[1]
    assert again.client.get_run(again.run_id).info.status == "FINISHED"
    with pytest.raises(ValueError, match=r"epochs was 3 and is now 5; start a new run"):
        start_run(home, "killed", run_id=killed.run_id).log_config(Config(epochs=5))
    with pytest.raises(ValueError, match=r"no run 'nonsense'.*start a new one"):
        start_run(home, "x", run_id="nonsense")


@pytest.mark.parametrize(("error", "status"), [(ValueError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_says_how_it_ended(home: Home, error: BaseException, status: str) -> None:
    run = start_run(home, "ends")
    with pytest.raises(type(error)), run:
        raise error
    assert run.client.get_run(run.run_id).info.status == status


def test_system_metrics_are_logged(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with start_run(home, "watched", system_metrics=True) as run:
        names: set[str] = set()
        for _ in range(100):
            names = set(run.client.get_run(run.run_id).data.metrics)
            if names:
                break
            run._monitor._shutdown_event.wait(0.1)
    assert "system/cpu_utilization_percentage" in names


def test_a_model_is_found_by_every_uri(home: Home, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with start_run(home, "trains") as run:
        logged = log_model(run, model_folder)
    assert get_alias(home, "nobody") is None
    first = register_model(home, logged, aliases=("champion",))
    second = register_model(home, logged)
    assert (first.version, second.version) == ("1", "2")
    assert get_alias(home) == ModelRef(uri="models:/iamsb/1", run_id=run.run_id, sha256=logged.sha256, version="1")
    set_alias(home, second.version)
    model_id = run.client.get_run(run.run_id).outputs.model_outputs[0].model_id
    for uri, number in [
        (logged.uri, ""),
        (f"runs:/{run.run_id}", ""),
        (first.uri, "1"),
        ("models:/iamsb@champion", "2"),
        (f"models:/{model_id}", ""),
        (str(model_folder), ""),
        (model_folder.as_uri(), ""),
    ]:
        folder, ref = resolve_model(home, uri)
        assert {path.name for path in folder.iterdir()} == {WEIGHTS_FILE, CARD_FILE}
        assert (ref.uri, ref.version, ref.sha256) == (uri, number, model_sha256(model_folder))
    with mlflow_quiet():
        from mlflow.pyfunc import get_model_dependencies  # noqa: PLC0415

        monkeypatch.setenv("MLFLOW_TRACKING_URI", home.tracking_uri())
        for uri in (logged.uri, first.uri, "models:/iamsb@champion"):
            assert "iamsb==" in Path(get_model_dependencies(uri)).read_text()
    artifacts = Path(run.client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
    names = {path.name for path in artifacts.rglob("*") if path.is_file()}
    assert "MLmodel" in names
    assert not [name for name in names if name.endswith(".pkl")]
    assert "loader_module: storage.pyfunc_loader" in (artifacts / "MLmodel").read_text()
    assert resolve_model(home, str(artifacts))[1].sha256 == logged.sha256
    with pytest.raises(ValueError, match="no version 9"):
        set_alias(home, "9")


@pytest.mark.parametrize(
    "uri",
    [
        "runs:/0123456789abcdef/model",
        "models:/nobody/1",
        "models:/nobody@champion",
        "models:/m-0123",
        "models:/",
        "gone",
        "http://x/y",
        "s3://bucket",
        "file:///gone",
    ],
)
def test_a_uri_that_leads_nowhere_is_explained(home: Home, uri: str) -> None:
    with pytest.raises(ValueError, match=r"cannot find the model .*: .*; a model is a model folder, runs:/"):
        resolve_model(home, uri)


def test_a_run_without_a_model_is_explained(home: Home) -> None:
    with start_run(home, "empty") as run:
        pass
    with pytest.raises(ValueError, match="logged no model; was its training finished"):
        resolve_model(home, f"runs:/{run.run_id}/model")


def test_processes_that_start_together_share_one_new_database(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from storage.home import Home; from storage.tracking import start_run\n"
        "with start_run(Home(Path(sys.argv[1])), 'x') as run: run.log_metrics({'a': 1.0})"
    )
    environ = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    starts = [subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    assert [start.communicate(timeout=120) for start in starts] == [(b"", b""), (b"", b"")]
    assert [start.returncode for start in starts] == [0, 0]
    client = connect(Home(tmp_path))
    experiment = client.get_experiment_by_name("iamsb")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_an_unreachable_store_is_explained(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://store")
    with pytest.raises(ValueError, match=r"cannot use the MLflow store nonsense://store.*MLFLOW_TRACKING_URI"):
        connect(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"no MLflow server answers at http://127.0.0.1:9 .*start it, or unset"):
        connect(home)


def test_names_and_parameters_are_flat() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [1, 2], "e": None}) == {
        "a.b": "1", "a.c": "{}", "d": "[1, 2]", "e": "null"
    }  # fmt: skip
    assert metric_name("ap@0.5/audio (dev)") == "ap_0.5/audio _dev_"


def test_git_commit_is_of_our_own_checkout_only(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert git_commit(tmp_path) is None  # no commit yet
    (tmp_path / "f").touch()
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", "-C", str(tmp_path), "add", "f"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *identity, "commit", "-qm", "m"], check=True)
    commit = git_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "f").write_text("changed")
    assert git_commit(tmp_path) == commit + "-dirty"
    (tmp_path / "inside").mkdir()
    assert git_commit(tmp_path / "inside") is None
