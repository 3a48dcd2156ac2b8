"""What a store's kind of number does to a trained model's AP: float16, bfloat16 and int8 beside float32 of the same.

    python tests/benchmarks/store_dtypes.py --model FOLDER --features FOLDER --root DATASET [--split test] [--most 60]

FOLDER: a model's folder (`iamsb train` prints it), and the store of the features it was trained on (under IAMSB_HOME,
`features`); DATASET is in LAV-DF's layout. The features are read from the store and rounded as another kind would keep
them, so the same model sees the same clips each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import finish, machine, parser

from iamsb_core.data.source import FeatureSource, StoredTrack
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.digest import file_sha256
from iamsb_core.encoders.base import Streams
from iamsb_core.manifest import Manifest, Modality, VideoRecord
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.timeline import FeatureTrack, Segment
from iamsb_core.training.model_folder import load_model
from iamsb_core.training.predict import predict
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.quantised import quantised, restored

Rounding = Callable[[np.ndarray], np.ndarray]


def in_bytes(values: np.ndarray) -> np.ndarray:
    return restored(*quantised(np.asarray(values, np.float32)))


def in_bfloat16(values: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.asarray(values, np.float32)).bfloat16().float().numpy()


KINDS: dict[str, Rounding] = {"as stored": np.asarray, "bfloat16": in_bfloat16, "int8": in_bytes}


class Rounded:
    """A feature source whose numbers went through another kind."""

    def __init__(self, source: FeatureSource, rounding: Rounding) -> None:
        self._source, self._rounding = source, rounding

    @property
    def streams(self) -> Streams:
        return self._source.streams

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        """As the protocol says."""
        found = self._source.read(video, modality, window)
        if found is None:
            return None
        main, fine = found.track.main, found.track.fine
        kept = replace(found.track, main=self._track(main), fine=None if fine is None else self._track(fine))
        return replace(found, track=kept)

    def _track(self, track: FeatureTrack) -> FeatureTrack:
        return FeatureTrack(self._rounding(track.values), track.grid)


def main() -> None:
    options = parser(__doc__, "store_dtypes")
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--features", type=Path, required=True)
    options.add_argument("--root", type=Path, required=True)
    options.add_argument("--split", default="test")
    options.add_argument("--most", type=int, default=60, help="clips")
    chosen = options.parse_args()
    model = load_model(chosen.model)
    manifest = read_dataset("lavdf", chosen.root)
    videos = tuple(video for video in manifest.videos if video.split == chosen.split)[: chosen.most]
    videos = tuple(replace(video, media_sha256=file_sha256(manifest.root / video.path)) for video in videos)
    chosen_manifest = replace(manifest, videos=videos)
    store = FeatureStore(chosen.features)
    source = StoredFeatures(store, model.card.audio_encoder, model.card.visual_encoder)
    document: dict[str, Any] = {"machine": machine(), "num_clips": len(videos), "system": model.card.system, "ap": {}}
    for name, rounding in KINDS.items():
        found = predict(model.system, Rounded(source, rounding), videos, window_seconds=model.card.window_seconds)
        document["ap"][name] = scores(chosen_manifest, found)
    finish(document, chosen.out)


def scores(manifest: Manifest, found: Any) -> dict[str, float]:
    report = evaluate(manifest, found)
    return {f"AP@{tiou}": round(100.0 * value, 2) for tiou, value in report.ap.items()}


if __name__ == "__main__":
    main()
