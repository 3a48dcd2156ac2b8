"""Inside one evaluation task: predictions of a model on stored features, metrics, and the baselines beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from iamsb_core.data.memory import CachedFeatures
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Manifest, VideoRecord
from iamsb_core.training.model_folder import LoadedModel
from iamsb_core.training.predict import predict
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from tasks import progress
from tasks.policy import gpu_slot

log = logging.getLogger(__name__)

STAGE = "predict"


@dataclass(frozen=True)
class Usable:
    """The videos of a manifest that can be read, and why the others cannot."""

    videos: tuple[VideoRecord, ...]
    unusable: Mapping[str, str]


def stored_features(store: Path, model: LoadedModel) -> StoredFeatures:
    """The features that the model was made for."""
    return StoredFeatures(FeatureStore(store), model.card.audio_encoder, model.card.visual_encoder)


def usable(source: StoredFeatures, manifest: Manifest) -> Usable:
    """Which videos have features. Raises ValueError where none has."""
    reasons = source.unusable(manifest.videos)
    videos = tuple(video for video in manifest.videos if video.video_id not in reasons)
    if not videos:
        reason = next(iter(reasons.values()), "there are none")
        raise ValueError(f"none of the {len(manifest.videos)} videos of {manifest.name} has features: {reason}")
    if reasons:
        log.warning("%d of %d videos are left out, such as %s", len(reasons), len(manifest.videos), next(iter(reasons)))
    return Usable(videos, reasons)


def predictions(
    model: LoadedModel, source: StoredFeatures, videos: Sequence[VideoRecord], device: str
) -> dict[str, ClipProposals]:
    """What the model says of every video."""
    progress.begin(STAGE, len(videos))
    with gpu_slot(device):
        return predict(
            model.system,
            CachedFeatures(source),
            videos,
            window_seconds=model.card.window_seconds,
            device=device,
            progress=lambda num: progress.advance(STAGE, num),
        )
