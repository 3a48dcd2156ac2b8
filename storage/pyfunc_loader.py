"""What MLflow calls to load a logged model: `mlflow.pyfunc.load_model(uri).predict(["talk.mp4", ...])`.

`mlflow models serve -m models:/iamsb@champion --env-manager local` answers a POST of `{"inputs": ["/videos/talk.mp4"]}`
to /invocations with `{"predictions": [...]}`: for each path the document that `iamsb localize` writes as report.json.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import Any

from iamsb_core.localizer import Localizer
from iamsb_core.media.clip import DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report import document
from iamsb_core.training.model_folder import CARD_FILE

PATH_COLUMN = "path"
MLMODEL_FILE = "MLmodel"


class VideoModel:
    """A trained model behind MLflow's interface: paths of videos in, reports out as JSON data."""

    def __init__(self, localizer: Localizer) -> None:
        self._localizer = localizer

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # noqa: ARG002
        """One document for each video, in order.

        Takes paths, on the machine that runs this, as a list or an array, or a table with a column `path` (else its
        first column). A video that cannot be used gives `{"error": ..., "kind": ..., "media": {"name": ...}}`.
        """
        with MediaDecoder() as decoder:
            return [self._document(decoder, Path(path)) for path in _paths(data)]

    def _document(self, decoder: MediaDecoder, video: Path) -> dict[str, Any]:
        localizer = self._localizer
        try:
            clip = localizer.decode(decoder, video)
            command = ("iamsb", "localize", str(video), "--model", localizer.uri)
            return document(localizer.examine(video, clip, command).report)
        except DecodeError as error:
            return {"error": str(error), "kind": error.kind, "media": {"name": video.name}}


def _paths(data: Any) -> list[str]:
    if hasattr(data, "columns"):
        column = data[PATH_COLUMN] if PATH_COLUMN in data.columns else data.iloc[:, 0]
        return [str(path) for path in column]
    if isinstance(data, str | PurePath):
        return [str(data)]
    return [str(path) for path in getattr(data, "flat", data)]


def _load_pyfunc(path: str) -> VideoModel:
    """MLflow's entry: the model in this folder, on the GPU where there is one (IAMSB_DEVICE names another)."""
    folder = Path(path)
    if not (folder / CARD_FILE).is_file():
        folder = next((card.parent for card in sorted(folder.glob(f"*/{CARD_FILE}"))), folder)
    run_id = _run_id(folder)
    device = os.environ.get("IAMSB_DEVICE") or "auto"
    return VideoModel(
        Localizer.load(folder, device=device, uri=f"runs:/{run_id}/model" if run_id else "", run_id=run_id)
    )


def _run_id(folder: Path) -> str:
    """Of the run that logged the model; empty where its MLflow folder does not tell."""
    from mlflow.models import Model  # noqa: PLC0415 - whoever calls this has imported it

    described = next((parent for parent in folder.parents[:3] if (parent / MLMODEL_FILE).is_file()), None)
    return "" if described is None else str(Model.load(str(described)).run_id or "")
