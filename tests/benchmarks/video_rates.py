"""What looking at fewer pictures a second does to telling forged pictures from genuine ones: cell AUC on unseen people.

    python tests/benchmarks/video_rates.py ROOT --rates 25 5

ROOT is a forged dataset in LAV-DF's layout whose handcrafted features are in the store for every rate (`iamsb extract
lavdf ROOT --encoders handcrafted,5hz`). Gradient boosting learns from the mean and the largest of each number of the
picture's features within 0.2 s of an instant, on the train split, and is asked of every 40 ms of the test split
(`--split dev`: of dev), whose people are others. So rates are asked the same question, and one that blurs the ends of
a segment loses by it. It is a probe of the features, not of a localiser: no AP.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import finish, machine, parser
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.manifest import Manifest, Modality, VideoRecord
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.media_index import MediaIndex

INSTANT_SECONDS, REACH_SECONDS = 0.04, 0.2
TRAIN_EVERY = 5
"""of the instants that are trained on: neighbours are nearly the same"""


def main() -> None:
    options = parser(__doc__, "video_rates")
    options.add_argument("root", type=Path)
    options.add_argument("--rates", type=float, nargs="+", default=[25.0, 12.5, 5.0])
    options.add_argument("--split", choices=("dev", "test"), default="test", help="what is asked of")
    chosen = options.parse_args()
    manifest = read_dataset("lavdf", chosen.root)
    document: dict[str, Any] = {"machine": machine(), "clips": {}, "rates": []}
    splits = {split: with_digests(manifest.split(split)) for split in ("train", chosen.split)}  # type: ignore[arg-type]
    document["clips"] = {split: len(videos) for split, videos in splits.items()}
    document["rates"] = [{"rate_hz": rate_hz, **probe(*splits.values(), rate_hz)} for rate_hz in chosen.rates]
    finish(document, chosen.out)


def with_digests(manifest: Manifest) -> tuple[VideoRecord, ...]:
    return MediaIndex(Home.current().media_index).fingerprint(manifest.root, manifest.videos).videos


def probe(train: tuple[VideoRecord, ...], asked: tuple[VideoRecord, ...], rate_hz: float) -> dict[str, float]:
    """The AUC over all instants, and over those within 0.2 s of a segment's end."""
    (x, y, _), (x_asked, truth, near) = stacked(train, rate_hz, TRAIN_EVERY), stacked(asked, rate_hz, 1)
    trained = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(x, y)
    scores = trained.predict_proba(x_asked)[:, 1]
    return {
        "cell_auc": round(float(roc_auc_score(truth, scores)), 3),
        "cell_auc_near_ends": round(float(roc_auc_score(truth[near], scores[near])), 3),
        "num_instants": len(truth),
    }


def stacked(
    videos: tuple[VideoRecord, ...], rate_hz: float, every: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of all clips: what is seen at each instant, whether it is forged, and whether an end is near."""
    x, y, near = zip(*rows(videos, rate_hz, every), strict=True)
    return np.concatenate(x), np.concatenate(y), np.concatenate(near)


def rows(
    videos: tuple[VideoRecord, ...], rate_hz: float, every: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]]:
    (_, spec), store = encoder_specs(f"handcrafted,{rate_hz:g}hz"), FeatureStore(Home.current().feature_place)
    for video in videos:
        found = store.read(spec.identity, video.media_sha256 or "")
        if found is None:
            continue
        values = found.track.main.values.astype(np.float32)
        centres = (np.arange(len(values)) + 0.5) * found.track.main.grid.hop_seconds
        instants = np.arange(0.5 * INSTANT_SECONDS, found.duration_seconds, every * INSTANT_SECONDS)
        truth = video.truth(Modality.VISUAL)
        inside = (instants[:, None] >= truth[:, 0]) & (instants[:, None] < truth[:, 1])
        near = np.abs(instants[:, None] - truth.reshape(-1)) < REACH_SECONDS
        yield seen(values, centres, instants), inside.any(axis=1), near.any(axis=1)


def seen(values: NDArray[np.float32], centres: NDArray[Any], instants: NDArray[Any]) -> NDArray[np.float32]:
    """(instants, 2 x dim): mean and largest of the cells around each, at least of the nearest one."""
    found = []
    for instant in instants:
        nearest = int(np.abs(centres - instant).argmin())
        around = np.abs(centres - instant) <= REACH_SECONDS
        around[nearest] = True
        found.append(np.concatenate([values[around].mean(axis=0), values[around].max(axis=0)]))
    return np.asarray(found, np.float32)


if __name__ == "__main__":
    main()
