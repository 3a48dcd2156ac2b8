"""Inside one evaluation task: predictions of a model on stored features, metrics, and two baselines beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from iamsb_core.data.memory import CachedFeatures
from iamsb_core.data.source import FeatureSource
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Manifest, Split, StreamName, VideoRecord
from iamsb_core.media.perturbations.spec import PerturbationSpec
from iamsb_core.metrics.baselines import random_predictions
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.plots import ap_figure, ar_figure, dense_protocol
from iamsb_core.systems.base import System, create_system
from iamsb_core.training.model_folder import LoadedModel, load_model
from iamsb_core.training.predict import predict
from iamsb_core.training.reconfigure import reconfigured
from iamsb_core.training.seeding import seeded
from iamsb_core.training.validation import flat_metrics, selection
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.prediction_store import PredictionStore
from storage.refs import ManifestRef, ModelRef, PredictionRef
from storage.registry import resolve_model
from storage.tracking import PARENT_TAG, TrackedRun, flat, start_run
from tasks import progress
from tasks.features import take_stock
from tasks.model_cards import dataset_name, measured, record_evaluation, write_card
from tasks.policy import gpu_slot

log = logging.getLogger(__name__)

STAGE = "predict"
BASELINE_SEED = 0


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """One evaluation of one model on one split."""

    dataset: str
    root: Path
    split: Split
    manifest: ManifestRef
    model: ModelRef
    protocol: str
    device: str
    home: Home
    baselines: bool = True
    """also score random proposals and the same system untrained"""
    perturbations: tuple[PerturbationSpec, ...] = ()
    """what was done to the clips before their features were taken"""
    parent_run_id: str = ""
    """the MLflow run that this one is part of"""
    hidden: tuple[StreamName, ...] = ()
    """streams that the model does without, as if no clip had them; their truth counts all the same"""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """fields of the system's configuration that differ from those it was trained with"""

    @property
    def name(self) -> str:
        """Of its run in MLflow."""
        changes = (f"{name}={value}" for name, value in flat(self.changes).items() if self.changes)
        conditions = (*(one.text for one in self.perturbations), *(f"without-{name}" for name in self.hidden))
        return "-".join(["evaluate", self.dataset, self.split, *conditions, *changes])

    @property
    def is_for_the_card(self) -> bool:
        """Whether the model's card tells of it: it was asked for by itself, of clips as they are."""
        return self.baselines and not (self.perturbations or self.changes or self.hidden)

    @property
    def tags(self) -> dict[str, str]:
        """What its run in MLflow is found by."""
        tags = {"kind": "evaluate", "iamsb.perturbations": " ".join(one.text for one in self.perturbations)}
        tags |= {PARENT_TAG: self.parent_run_id, "iamsb.hidden": " ".join(self.hidden)}
        return {name: text for name, text in tags.items() if text}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What an evaluation leaves."""

    run_id: str
    model: ModelRef
    dataset: str
    split: str
    report: MetricReport
    baselines: dict[str, MetricReport]
    """`random`: proposals that know the clip's length only; `untrained`: the same system with its first weights"""
    predictions: PredictionRef
    selection: float
    """the number by which models are compared: mean AP over streams and thresholds, whole area under the curve"""
    unusable: dict[str, str]
    """why videos of the split have no features, and so no prediction; by video_id"""


def load(home: Home, uri: str, device: str = "cpu") -> tuple[LoadedModel, ModelRef]:
    """A model by its URI. Raises ValueError where there is none, or it cannot be read."""
    folder, ref = resolve_model(home, uri)
    return load_model(folder, device), ref


def score(job: EvaluateJob, manifest: Manifest) -> Evaluation:
    """Predict, score, and record it all in MLflow."""
    model, _ = load(job.home, job.model.uri, job.device)
    store = FeatureStore(job.home.feature_place)
    specs = (model.card.audio_encoder, model.card.visual_encoder)
    stored = StoredFeatures(store, *(spec.perturbed(job.perturbations) for spec in specs), hidden=job.hidden)
    unusable = stored.unusable(manifest.videos)
    videos = tuple(video for video in manifest.videos if video.video_id not in unusable)
    if not videos:
        reason = next(iter(unusable.values()), "it is empty")
        raise ValueError(f"no video of the {job.split} split of {job.root} has features: {reason}")
    source = CachedFeatures(stored)
    system = reconfigured(model.system, job.changes) if job.changes else model.system
    found = predict_videos(system, model, source, videos, job.device)
    manifest = _as_long_as(found, manifest)
    report = evaluate(manifest, found, job.protocol)
    others = _baselines(job, model, source, manifest, found) if job.baselines else {}
    ref = PredictionStore(job.home.predictions).write(found, model=job.model.uri, dataset=job.dataset, split=job.split)
    with start_run(job.home, job.name, tags=job.tags) as run:
        done = Evaluation(
            run_id=run.run_id,
            model=job.model,
            dataset=job.dataset,
            split=job.split,
            report=report,
            baselines=others,
            predictions=ref,
            selection=selection(report),
            unusable=unusable,
        )
        _record(run, job, done, evaluate(manifest, found, dense_protocol(job.protocol)))
        if job.is_for_the_card:
            _record_for_card(run, job, manifest, found)
    if job.is_for_the_card:
        write_card(job.home, job.model)
    return done


def manifest_of(home: Home, dataset: str, root: Path, split: Split, found: Mapping[str, ClipProposals]) -> Manifest:
    """The manifest that predictions were made for; lengths that the benchmark does not state are as decoded."""
    return _as_long_as(found, take_stock.fn(dataset, root, home, (split,)).manifest)


def _as_long_as(found: Mapping[str, ClipProposals], manifest: Manifest) -> Manifest:
    return manifest.with_durations({video_id: clip.duration_seconds for video_id, clip in found.items()})


def _record_for_card(run: TrackedRun, job: EvaluateJob, manifest: Manifest, found: Mapping[str, ClipProposals]) -> None:
    about = {"dataset": dataset_name(job.root, job.dataset), "split": job.split, "sha256": job.manifest.sha256}
    figures = measured(manifest, found, job.protocol, **about)
    if figures is not None:
        record_evaluation(run, figures)


def predict_videos(
    system: System[Any], model: LoadedModel, source: FeatureSource, videos: Sequence[VideoRecord], device: str
) -> dict[str, ClipProposals]:
    """What a system, of the model or with other weights, says of videos, with progress and the machine's GPU slot."""
    progress.begin(STAGE, len(videos))
    with gpu_slot(device):
        return predict(
            system,
            source,
            videos,
            window_seconds=model.card.window_seconds,
            device=device,
            progress=lambda num: progress.advance(STAGE, num),
        )


def _baselines(
    job: EvaluateJob,
    model: LoadedModel,
    source: FeatureSource,
    manifest: Manifest,
    found: Mapping[str, ClipProposals],
) -> dict[str, MetricReport]:
    """What knows nothing, and what has learned nothing, on the same clips under the same protocol."""
    predicted = replace(manifest, videos=tuple(video for video in manifest.videos if video.video_id in found))
    durations = {video_id: clip.duration_seconds for video_id, clip in found.items()}
    chance = random_predictions(predicted, np.random.default_rng(BASELINE_SEED), durations_seconds=durations)
    blank = predict_videos(_untrained(model).to(job.device), model, source, predicted.videos, job.device)
    return {
        "random": evaluate(manifest, chance, job.protocol),
        "untrained": evaluate(manifest, blank, job.protocol),
    }


def _untrained(model: LoadedModel) -> System[Any]:
    """The same system with fresh weights; it keeps what it measured of the features (its buffers)."""
    with seeded(BASELINE_SEED):
        fresh = create_system(model.card.system, model.card.streams, model.system.config)
    buffers = {name: value.detach().cpu() for name, value in model.system.named_buffers()}
    known = {name: value for name, value in buffers.items() if name in fresh.state_dict()}
    fresh.load_state_dict(fresh.state_dict() | known)
    with torch.no_grad():
        return fresh.eval()


def _record(run: TrackedRun, job: EvaluateJob, done: Evaluation, dense: MetricReport) -> None:
    """The evaluation in MLflow, with curves."""
    about = {"model": job.model.uri, "split": job.split, "protocol": job.protocol, "device": job.device}
    run.log_config({**about, "perturbations": [one.text for one in job.perturbations], "changes": dict(job.changes)})
    run.set_tags({"iamsb.model.sha256": job.model.sha256, "iamsb.model.run_id": job.model.run_id})
    source = {"root": job.root, "dataset": job.dataset}
    run.log_dataset(f"{job.dataset}-{job.split}", job.manifest.sha256, context="evaluation", source=source)
    run.log_metrics({**dict(flat_metrics(done.report)), "selection": done.selection})
    for name, other in done.baselines.items():
        run.log_metrics({f"{name}_{key}": value for key, value in flat_metrics(other)})
    run.log_json(done.report, "metrics.json")
    run.log_json(done.baselines, "baselines.json")
    run.log_file(Path(done.predictions.path), "predictions")
    curves = {"fused": dense, **dense.streams}
    run.log_figure(ap_figure({name: metrics.ap_full for name, metrics in curves.items()}), "ap.png")
    run.log_figure(ar_figure({name: metrics.ar for name, metrics in curves.items()}), "ar.png")
