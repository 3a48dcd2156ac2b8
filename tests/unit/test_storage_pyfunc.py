"""A logged model works for anyone who has MLflow: video paths in, reports out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from loopback import answers, free_port

from iamsb_core.localizer import Localizer
from storage.mlflow_setup import mlflow_quiet
from storage.registry import save_as_mlflow


@pytest.fixture
def mlflow_model(tmp_path: Path, untrained_model: Path) -> Path:
    """An untrained model as an MLflow model on this machine."""
    save_as_mlflow(tmp_path / "model", untrained_model, run_id="1f0e", model_id="m-0")
    return tmp_path / "model"


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """A report without what depends on when, how and under which name it was asked for."""
    kept = {key: value for key, value in document.items() if key not in {"created", "time_zone", "command"}}
    return {**kept, "model": {**document["model"], "uri": "", "run_id": ""}}


def saved_document(model: Path, video: Path, folder: Path) -> dict[str, Any]:
    """report.json as the Python API, which the command line uses too, writes it."""
    found = Localizer.load(next(model.glob("data/*")), device="cpu").localize(video)
    return json.loads(found.save(folder).json.read_text(encoding="utf-8"))


def test_mlflow_predicts_what_a_report_says(
    mlflow_model: Path, media_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IAMSB_DEVICE", "cpu")
    with mlflow_quiet():
        import pandas as pd  # noqa: PLC0415
        from mlflow.pyfunc import load_model  # noqa: PLC0415

        model = load_model(str(mlflow_model))
    talking, silent = media_folder / "real" / "vox_00067.mp4", media_folder / "nasty" / "fps60_no_audio.mov"
    first, second, third = model.predict([str(talking), str(silent), str(tmp_path / "nowhere.mp4")])
    assert comparable(first) == comparable(saved_document(mlflow_model, talking, tmp_path / "out"))
    assert first["model"]["run_id"] == "1f0e"
    assert second["encoders"]["audio"] is None
    assert third["kind"] == "missing"
    assert "nowhere.mp4 does not exist" in third["error"]
    table = pd.DataFrame({"path": [str(silent)]})
    assert comparable(model.predict(table)[0]) == comparable(second)


@pytest.mark.slow
def test_a_served_model_answers_with_the_report(mlflow_model: Path, media_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(mlflow_model), "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    talking = media_folder / "real" / "vox_00067.mp4"
    body = json.dumps({"inputs": [str(talking), str(tmp_path / "nowhere.mp4")]}).encode()
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow starts uvicorn by name
    environment = os.environ | {"IAMSB_DEVICE": "cpu", "PATH": programs}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            served, missing = json.load(answer)["predictions"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
    assert comparable(served) == comparable(saved_document(mlflow_model, talking, tmp_path / "out"))
    assert missing["kind"] == "missing"


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()[-3000:]
        if answers(url):
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])
