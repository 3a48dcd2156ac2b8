"""What MLflow calls to load a logged model: `mlflow.pyfunc.load_model(uri).predict(["talk.mp4", ...])`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iamsb_core.data.dataset import Item
from iamsb_core.encoders.base import EncodedTrack, Encoder
from iamsb_core.encoders.load import load_encoder
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.media.clip import DecodedClip
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.timeline import FeatureTrack
from iamsb_core.training.model_folder import CARD_FILE, load_model
from iamsb_core.training.predict import localize_items
from storage.prediction_store import clip_row

PATH_COLUMN = "path"


class VideoModel:
    """A trained model behind MLflow's interface: videos in, proposals out as JSON data."""

    def __init__(self, folder: Path, device: torch.device | str) -> None:
        self._device = device
        self._model = load_model(folder, device)
        self._encoders: dict[Modality, Encoder] = {}

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # noqa: ARG002
        """One row for each video, as in a file of predictions (`storage.prediction_store`) with its path.

        Takes paths as a list, or a table with a column `path` (else its first column). Raises DecodeError for a video
        that cannot be used.
        """
        paths = _paths(data)
        with MediaDecoder() as decoder:
            return [{PATH_COLUMN: path, **clip_row(self._localize(decoder, path))} for path in paths]

    def _localize(self, decoder: MediaDecoder, path: str) -> ClipProposals:
        card = self._model.card
        clip = decoder.decode(Path(path), card.visual_encoder.view)
        item = Item(
            video_id=path,
            duration_seconds=clip.duration_seconds,
            tracks=dict(self._tracks(clip)),
            truth={modality: np.zeros((0, 2)) for modality in STREAMS},
        )
        (found,) = localize_items(self._model.system, [item], card.streams, card.window_seconds, self._device)
        return found

    def _tracks(self, clip: DecodedClip) -> Iterator[tuple[Modality, EncodedTrack | None]]:
        for modality in STREAMS:
            is_there = (clip.waveform if modality is Modality.AUDIO else clip.frames) is not None
            yield modality, _as_stored(self._encoder(modality).encode([clip])[0]) if is_there else None

    def _encoder(self, modality: Modality) -> Encoder:
        if modality not in self._encoders:
            card = self._model.card
            spec = card.audio_encoder if modality is Modality.AUDIO else card.visual_encoder
            self._encoders[modality] = load_encoder(spec, self._device)
        return self._encoders[modality]


def _paths(data: Any) -> list[str]:
    if not hasattr(data, "columns"):
        return [str(path) for path in data]
    column = data[PATH_COLUMN] if PATH_COLUMN in data.columns else data.iloc[:, 0]
    return [str(path) for path in column]


def _as_stored(track: EncodedTrack) -> EncodedTrack:
    """The features rounded as the feature store rounds them, so that both ways to a result agree."""
    return EncodedTrack(_half(track.main), None if track.fine is None else _half(track.fine))


def _half(track: FeatureTrack) -> FeatureTrack:
    return FeatureTrack(track.values.astype(np.float16), track.grid)


def _load_pyfunc(path: str) -> VideoModel:
    """MLflow's entry: the model in this folder, on the GPU where there is one (IAMSB_DEVICE names another)."""
    folder = Path(path)
    if not (folder / CARD_FILE).is_file():
        folder = next((card.parent for card in sorted(folder.glob(f"*/{CARD_FILE}"))), folder)
    device = os.environ.get("IAMSB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    return VideoModel(folder, device)
