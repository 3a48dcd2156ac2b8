"""A logged model works for anyone who has MLflow: video paths in, proposals out."""

from __future__ import annotations

from pathlib import Path

import pytest

from iamsb_core.digest import plain
from iamsb_core.encoders.base import Streams
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.systems.base import create_system
from iamsb_core.systems.iamsb import compact
from iamsb_core.training.model_folder import ModelCard, save_model
from storage.mlflow_setup import mlflow_quiet
from storage.registry import save_as_mlflow


@pytest.fixture
def mlflow_model(tmp_path: Path) -> Path:
    """An untrained model as an MLflow model on this machine."""
    audio, visual = encoder_specs("handcrafted")
    streams = Streams(audio=load_encoder(audio).stream, visual=load_encoder(visual).stream)
    system = create_system("iamsb", streams, compact())
    card = ModelCard(
        system="iamsb",
        system_config=plain(system.config),
        streams=streams,
        audio_encoder=audio,
        visual_encoder=visual,
        window_seconds=8.0,
    )
    folder = save_model(tmp_path / "final", system.state_dict(), card)
    save_as_mlflow(tmp_path / "model", folder, run_id="", model_id="m-0")
    return tmp_path / "model"


def test_mlflow_predicts_on_videos(mlflow_model: Path, media_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IAMSB_DEVICE", "cpu")
    with mlflow_quiet():
        import pandas as pd  # noqa: PLC0415
        from mlflow.pyfunc import load_model  # noqa: PLC0415

        model = load_model(str(mlflow_model))
    talking = str(media_folder / "real" / "vox_00067.mp4")
    silent = str(media_folder / "nasty" / "fps60_no_audio.mov")
    rows = model.predict([talking, silent])
    assert [row["path"] for row in rows] == [talking, silent]
    assert [row["duration_seconds"] for row in rows] == pytest.approx([4.56, 3.0], abs=0.05)
    for row in rows:
        assert all(0 <= s <= 1 and 0 <= start < end <= row["duration_seconds"] + 0.05 for s, start, end in row["fused"])
    assert rows[0]["audio"]
    assert rows[1]["audio"] == []
    assert rows[1]["visual"]
    table = pd.DataFrame({"path": [silent]})
    assert model.predict(table)[0]["fused"] == rows[1]["fused"]
