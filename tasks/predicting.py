"""Inside one prediction task: what a model says of videos whose truth nobody here knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect import task

from iamsb_core.data.memory import CachedFeatures
from iamsb_core.manifest import Manifest, Split
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.prediction_store import PredictionStore
from storage.refs import ManifestRef, ModelRef, PredictionRef
from storage.tracking import start_run
from tasks import scoring
from tasks.features import take_stock
from tasks.policy import NUM_RETRIES, PREDICT_TIMEOUT_SECONDS, RETRY_DELAYS, worth_retrying


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """One model on one split."""

    dataset: str
    root: Path
    split: Split
    manifest: ManifestRef
    model: ModelRef
    device: str
    home: Home


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What a prediction leaves."""

    run_id: str
    model: ModelRef
    dataset: str
    split: str
    predictions: PredictionRef
    unusable: dict[str, str]
    """why videos of the split have no features, and so no prediction; by video_id"""


@task(
    retries=NUM_RETRIES,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=worth_retrying,
    timeout_seconds=PREDICT_TIMEOUT_SECONDS,
    task_run_name="predict-{job.split}",
)
def predict_split(job: PredictJob) -> Predicted:
    """Predict one split from its stored features, and record the predictions."""
    stock = take_stock.fn(job.dataset, job.root, job.home, (job.split,))
    if ManifestRef.of(stock.manifest).sha256 != job.manifest.sha256:
        raise ValueError(f"the dataset at {stock.manifest.root} changed while the flow ran; run it again")
    return _predict(job, stock.manifest)


def _predict(job: PredictJob, manifest: Manifest) -> Predicted:
    model, _ = scoring.load(job.home, job.model.uri, job.device)
    stored = StoredFeatures(FeatureStore(job.home.feature_place), model.card.audio_encoder, model.card.visual_encoder)
    unusable = stored.unusable(manifest.videos)
    videos = tuple(video for video in manifest.videos if video.video_id not in unusable)
    if not videos:
        reason = next(iter(unusable.values()), "it is empty")
        raise ValueError(f"no video of the {job.split} split of {job.root} has features: {reason}")
    found = scoring.predict_videos(model.system, model, CachedFeatures(stored), videos, job.device)
    ref = PredictionStore(job.home.predictions).write(found, model=job.model.uri, dataset=job.dataset, split=job.split)
    with start_run(job.home, f"predict-{job.dataset}-{job.split}", tags={"kind": "predict"}) as run:
        run.log_config({"model": job.model.uri, "split": job.split, "device": job.device})
        run.set_tags({"iamsb.model.sha256": job.model.sha256, "iamsb.model.run_id": job.model.run_id})
        source = {"root": job.root, "dataset": job.dataset}
        run.log_dataset(f"{job.dataset}-{job.split}", job.manifest.sha256, context="prediction", source=source)
        run.log_file(Path(ref.path), "predictions")
        return Predicted(
            run_id=run.run_id,
            model=job.model,
            dataset=job.dataset,
            split=job.split,
            predictions=ref,
            unusable=unusable,
        )
