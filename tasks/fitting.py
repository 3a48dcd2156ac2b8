"""Inside one training task: the data, the run in MLflow, the loop, the model that is kept; resumable at any step."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from iamsb_core.configuration import parse
from iamsb_core.data.memory import CachedFeatures
from iamsb_core.data.source import FeatureSource
from iamsb_core.digest import digest, plain
from iamsb_core.manifest import Manifest, Split
from iamsb_core.report.model_figures import ModelFigures, TrainingData, training_data
from iamsb_core.training.loop import SELECTION, EpochReport, StepReport
from iamsb_core.training.model_folder import load_model, model_sha256, read_card
from iamsb_core.training.predict import predict
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.refs import ModelRef
from storage.registry import log_model, register_model, resolve_model
from storage.staging import exclusive, write_atomically
from storage.tracking import TrackedRun, start_run
from tasks import progress, teamwork
from tasks.links import link_run
from tasks.logs import log_ids
from tasks.model_cards import dataset_name, measured, record_training, write_card
from tasks.policy import gpu_slot
from tasks.train_job import STAGE, TrainJob, code_digest
from tasks.training import MODEL_FOLDER, trainer_of

log = logging.getLogger(__name__)

OUTCOME_FILE = "outcome.json"
DEV_PROTOCOL = "lavdf"
"""the one that training looks at the dev split with"""
_LOG_EVERY_STEPS = 10


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a training leaves."""

    run_id: str
    model: ModelRef
    folder: Path
    epochs: int
    metrics: dict[str, float]
    """of the kept weights on the dev split"""
    reused: bool = False
    """whether the same training had been done before"""


def fit(job: TrainJob, manifest: Manifest) -> TrainedModel:
    """Train to the end from wherever an earlier run of the same job stopped, and register the model."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with exclusive(job.folder / "lock"):
        if (done := _outcome(job)) is not None:
            log.info("trained before with the same data, code and settings: run %s", done.run_id)
            return done
        source = StoredFeatures(FeatureStore(job.home.feature_place), job.audio, job.visual, hidden=job.hidden)
        with _run(job) as run, _gpu_slots(job), log_ids(mlflow_run=run.run_id):
            link_run(run)
            _describe(run, job, manifest)
            cached, dev = CachedFeatures(source), _split(source, manifest, "dev")
            _train(run, job, cached, some_of(_split(source, manifest, "train"), job.num_clips), dev)
            record_training(run, _data(job, manifest), _dev_figures(job, cached, dev))
            model = register_model(job.home, log_model(run, job.folder / MODEL_FOLDER))
            write_card(job.home, model)
        return _finish(job, run.run_id, model)


@contextlib.contextmanager
def _gpu_slots(job: TrainJob) -> Iterator[None]:
    """Those of every device that the job trains on here, always taken in the same order."""
    with contextlib.ExitStack() as stack:
        for device in job.devices:
            stack.enter_context(gpu_slot(device))
        yield


def _data(job: TrainJob, manifest: Manifest) -> TrainingData:
    name = dataset_name(job.root, job.dataset)
    return training_data(name, job.root, manifest, job.data_sha256)


def _dev_figures(job: TrainJob, source: FeatureSource, dev: Manifest) -> ModelFigures | None:
    """What the kept weights, which an earlier process may have kept, say of the dev split; for the model's card."""
    if not dev.videos:
        return None
    system = load_model(job.folder / MODEL_FOLDER, job.device).system
    found = predict(system, source, dev.videos, window_seconds=job.training.window_seconds, device=job.device)
    name = dataset_name(job.root, job.dataset)
    return measured(dev, found, DEV_PROTOCOL, dataset=name, split="dev", sha256=job.data_sha256)


def _finish(job: TrainJob, run_id: str, model: ModelRef) -> TrainedModel:
    metrics = read_card(job.folder / MODEL_FOLDER).metrics
    done = TrainedModel(
        run_id=run_id, model=model, folder=job.folder, epochs=job.training.epochs, metrics=metrics, reused=False
    )
    write_atomically(job.folder / OUTCOME_FILE, json.dumps(plain(done), indent=2).encode())
    return done


def _outcome(job: TrainJob) -> TrainedModel | None:
    """What the same job left before, if its model is still there and whole, in the tracking store of today too."""
    path = job.folder / OUTCOME_FILE
    if not path.is_file():
        return None
    done = parse(TrainedModel, json.loads(path.read_text()) | {"reused": True}, where=str(path))
    try:
        _, known = resolve_model(job.home, done.model.uri)
        found = {model_sha256(job.folder / MODEL_FOLDER), known.sha256}
    except (ValueError, OSError):
        return None
    return done if found == {done.model.sha256} and known.run_id == done.run_id else None


def _run(job: TrainJob) -> TrackedRun:
    """The job's run in MLflow: taken up again where an earlier one was stopped, a new one where it is not there."""
    path = job.folder / "run.json"
    known = json.loads(path.read_text())["run_id"] if path.is_file() else None
    start = functools.partial(
        start_run, job.home, f"{job.system}-{job.dataset}", tags={"kind": "train"}, system_metrics=True
    )
    try:
        run = start(run_id=known)
    except ValueError as error:
        if known is None:
            raise
        run = start()  # raises the same where the store itself is out of reach
        log.warning("%s: the training goes on as run %s", error, run.run_id)
    write_atomically(path, json.dumps({"run_id": run.run_id}).encode())
    return run


def _describe(run: TrackedRun, job: TrainJob, manifest: Manifest) -> None:
    """Everything that the run's numbers rest on."""
    config = {"system": job.system, "system_config": job.system_config, "training": plain(job.training)}
    start = {} if job.start is None else {"start": job.start.uri}
    part = {} if job.num_clips is None else {"num_clips": job.num_clips}
    part |= {"hidden": " ".join(job.hidden)} if job.hidden else {}
    run.log_config({**config, **start, **part, "seed": job.training.seed, "device": job.device})
    run.set_tags({"iamsb.job": job.digest, "iamsb.code": code_digest(), "iamsb.system": job.system})
    source = {"root": job.root, "dataset": job.dataset}
    source |= {f"more_{place}": str(one.root) for place, one in enumerate(job.more, 1)}
    for split, context in (("train", "training"), ("dev", "validation")):
        videos = manifest.split(split).videos
        profile = {"num_videos": len(videos), "num_forged": sum(video.is_forged for video in videos)}
        run.log_dataset(f"{job.dataset}-{split}", job.data_sha256, context=context, source=source, profile=profile)
    encoders = {"audio": plain(job.audio), "visual": plain(job.visual)}
    features = digest([job.data_sha256, job.audio.identity, job.visual.identity])
    run.log_dataset(f"{job.dataset}-features", features, context="features", source=encoders)


def _split(source: StoredFeatures, manifest: Manifest, split: Split) -> Manifest:
    """The videos of a split that can be used. Raises ValueError where training has none, or features were lost."""
    chosen = manifest.split(split).labelled()
    bad = source.unusable(chosen.videos)
    gone = [
        video.video_id
        for video in chosen.videos
        if video.media_sha256 and "not extracted" in bad.get(video.video_id, "")
    ]
    if gone:
        raise ValueError(
            f"features of {len(gone)} videos are gone since they were extracted; run the same again: {gone[0]}"
        )
    found = replace(chosen, videos=tuple(video for video in chosen.videos if video.video_id not in bad))
    if bad:
        log.warning("%d of %d %s videos are left out, such as %s", len(bad), len(chosen.videos), split, next(iter(bad)))
    if split == "train" and not found.videos:
        raise ValueError(
            f"{manifest.name} has no usable video in its train split ({len(chosen.videos)} listed, {len(bad)} bad); "
            "give a dataset with one"
        )
    return found


def some_of(manifest: Manifest, num_clips: int | None) -> Manifest:
    """At most so many clips, chosen by the digest of their names: fewer of them are a part of more."""
    if num_clips is None or num_clips >= len(manifest.videos):
        return manifest
    chosen = sorted(manifest.videos, key=lambda video: digest(video.video_id))[:num_clips]
    names = {video.video_id for video in chosen}
    return replace(manifest, videos=tuple(video for video in manifest.videos if video.video_id in names))


def _train(run: TrackedRun, job: TrainJob, source: FeatureSource, train: Manifest, dev: Manifest) -> None:
    if not job.team.is_alone:
        for report, num_steps in teamwork.reports(job, train, dev):
            _log(run, report, num_steps)
        return
    trainer = trainer_of(job, source, train, dev)
    progress.begin(STAGE, trainer.num_steps)
    for report in trainer.run():
        _log(run, report, trainer.num_steps)


def _log(run: TrackedRun, report: StepReport | EpochReport, num_steps: int) -> None:
    if isinstance(report, StepReport):
        text = f"epoch {report.epoch + 1}, loss {report.losses['total']:.3f}"
        progress.report(STAGE, report.step, num_steps, text)
        if report.step % _LOG_EVERY_STEPS == 0:
            about = {"learning_rate": report.learning_rate, "gradient_norm": report.gradient_norm}
            timing = {"step_seconds": report.seconds, "waiting_seconds": report.waiting_seconds}
            losses = {f"step_{name}": value for name, value in report.losses.items()}
            run.log_metrics({**losses, **about, **timing}, report.step)
        return
    losses = {f"train_{name}": value for name, value in report.losses.items()}
    metrics = {f"dev_{name}": value for name, value in report.metrics.items()}
    run.log_metrics({**losses, **metrics, "epoch_seconds": report.seconds}, report.epoch)
    run.flush(patiently=False)
    if report.metrics:
        log.info("epoch %d: dev selection %.3f", report.epoch + 1, report.metrics[SELECTION])
