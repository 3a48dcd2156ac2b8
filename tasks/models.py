"""Prefect tasks of training, evaluation and promotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.manifest import STREAMS, Manifest, VideoRecord, stream_name
from iamsb_core.training.model_folder import ModelCard, read_card
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.objects import Place
from storage.refs import ManifestRef, ModelRef
from storage.registry import get_alias, resolve_model, set_alias
from tasks import fitting, scoring
from tasks.features import take_stock
from tasks.fitting import TrainedModel
from tasks.jobs import Stock
from tasks.policy import (
    NUM_RETRIES,
    PREDICT_TIMEOUT_SECONDS,
    RETRY_DELAYS,
    TRAIN_TIMEOUT_SECONDS,
    worth_retrying,
)
from tasks.scoring import EvaluateJob, Evaluation
from tasks.train_job import TrainJob

RETRIED = {"retries": NUM_RETRIES, "retry_delay_seconds": RETRY_DELAYS, "retry_condition_fn": worth_retrying}


@task(**RETRIED, timeout_seconds=TRAIN_TIMEOUT_SECONDS, task_run_name="train-{job.system}")
def train_system(job: TrainJob) -> TrainedModel:
    """Train, or go on training, and register the model."""
    stocks = []
    for one in (job, *job.more):
        stocks.append(take_stock.fn(one.dataset, one.root, job.home, ("train", "dev")))
        _check(stocks[-1], one.manifest, job.home.feature_place, job.audio, job.visual)
    return fitting.fit(job, joined([stock.manifest for stock in stocks]))


@task(**RETRIED, timeout_seconds=PREDICT_TIMEOUT_SECONDS, task_run_name="evaluate-{job.split}")
def evaluate_model(job: EvaluateJob) -> Evaluation:
    """Predict and score one split, with a table in the run's page."""
    stock = take_stock.fn(job.dataset, job.root, job.home, (job.split,))
    _, card = find_model.fn(job.home, job.model.uri)
    audio, visual = (spec.perturbed(job.perturbations) for spec in encoders_of(card))
    _check(stock, job.manifest, job.home.feature_place, audio, visual)
    done = scoring.score(job, stock.manifest)
    rows = [
        {"of": name, **{f"AP@{key}": value for key, value in report.ap.items()}, "AUC": report.auc}
        for name, report in {"model": done.report, **done.baselines}.items()
    ]
    create_table_artifact(rows, key="metrics", description=f"{job.dataset} {job.split}, protocol {job.protocol}")
    return done


def joined(manifests: Sequence[Manifest]) -> Manifest:
    """The first manifest with the others' videos behind its own: features are found by content, whatever the root.

    Their ids begin with the place of their dataset, so that the same name in two of them is two videos.
    """
    first, *others = manifests
    more = tuple(
        replace(video, video_id=f"{place}:{video.video_id}")
        for place, manifest in enumerate(others, 2)
        for video in manifest.videos
    )
    return replace(first, videos=(*first.videos, *more))


def _check(stock: Stock, wanted: ManifestRef, store: Place, audio: EncoderSpec, visual: EncoderSpec) -> None:
    """Raises ValueError where the dataset changed since its extraction, or its truth does not fit what was decoded."""
    manifest = stock.manifest
    if ManifestRef.of(manifest).sha256 != wanted.sha256:
        raise ValueError(f"the dataset at {manifest.root} changed while the flow ran; run it again")
    durations = {}
    for spec in (audio, visual):
        records = FeatureStore(store).records(
            spec.identity, [v.media_sha256 for v in manifest.videos if v.media_sha256]
        )
        for video in manifest.videos:
            record = records.get(video.media_sha256 or "")
            if record is not None and record.status != "failed":
                durations[video.video_id] = record.duration_seconds
    validate(manifest, durations=durations, look_at_files=False).raise_for_errors()


@task
def find_model(home: Home, uri: str) -> tuple[ModelRef, ModelCard]:
    """A model's reference and card. Raises ValueError, naming the URIs that work."""
    folder, ref = resolve_model(home, uri)
    return ref, read_card(folder)


@task
def champion(home: Home) -> ModelRef | None:
    """The model that the alias points to; None where there is none yet."""
    return get_alias(home)


@task
def promote(home: Home, model: ModelRef, why: str = "") -> None:
    """Make a registered model the champion; why is kept in the alias's history."""
    set_alias(home, model.version, why=why)


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A clip to show, with its truth."""

    path: Path
    truth: dict[str, tuple[tuple[float, float], ...]]
    """forged segments, seconds, of `audio` and `visual`"""


@task
def pick_unseen(dataset: str, root: Path) -> tuple[Unseen, ...]:
    """Test clips to show: of those forged in both streams, in the sound, in the picture and not at all, one each.

    Of each kind the one with the longest forged time, as far as there is one.
    """
    videos = read_dataset(dataset, root).split("test").videos
    if not videos:
        raise ValueError(f"{root} has no test clip to show")
    chosen: dict[tuple[bool, ...], VideoRecord] = {}
    for video in sorted(videos, key=_forged_seconds):
        chosen[tuple(len(video.truth(stream)) > 0 for stream in STREAMS)] = video
    return tuple(
        Unseen(
            path=root / chosen[kind].path,
            truth={stream_name(m): tuple(map(tuple, chosen[kind].truth(m).tolist())) for m in STREAMS},
        )
        for kind in sorted(chosen, reverse=True)
    )


def _forged_seconds(video: VideoRecord) -> float:
    return sum(float((segments[:, 1] - segments[:, 0]).sum()) for segments in map(video.truth, STREAMS))


def encoders_of(card: ModelCard) -> tuple[EncoderSpec, EncoderSpec]:
    """The pair that the model reads."""
    return card.audio_encoder, card.visual_encoder
