"""Inside one tuning task: windows of the clips, the run in MLflow, the steps, the folder of weights that is kept."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

from prefect import task

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.encoders.tunable import load_tunable, save_tuned, unfreeze
from iamsb_core.encoders.weights import weights_digest
from iamsb_core.manifest import Manifest
from iamsb_core.report.build import software_versions
from iamsb_core.training.tuning import EncoderTuner, TuneEpoch
from storage.keys import STAGING_FOLDER
from storage.staging import discard, exclusive, fsync_tree, move_into_place, staging_folder, write_atomically
from storage.tracking import TrackedRun, start_run
from tasks import progress
from tasks.features import take_stock
from tasks.fitting import some_of
from tasks.links import link_run
from tasks.logs import log_ids
from tasks.policy import NUM_RETRIES, RETRY_DELAYS, TRAIN_TIMEOUT_SECONDS, gpu_slot, worth_retrying
from tasks.train_job import code_digest
from tasks.tune_job import RECORD_FILE, STAGE, TunedEncoder, TuneJob
from tasks.tuning_windows import gather

log = logging.getLogger(__name__)

_LOG_EVERY_STEPS = 10


@task(
    retries=NUM_RETRIES,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=worth_retrying,
    timeout_seconds=TRAIN_TIMEOUT_SECONDS,
    task_run_name="tune-{job.spec.name}",
)
def tune_encoder(job: TuneJob) -> TunedEncoder:
    """Tune one encoder, unless the same was done before; windows that were decoded before are not decoded again.

    Raises ValueError where the train or dev split lacks forged or genuine cells in the stream, or the encoder blocks.
    """
    job.home.encoders.mkdir(parents=True, exist_ok=True)
    with exclusive(job.folder.with_suffix(".lock")):
        if (done := _outcome(job)) is not None:
            log.info("tuned before with the same data, code and settings: run %s", done.run_id)
            return done
        manifest = take_stock.fn(job.dataset, job.root, job.home, ("train", "dev")).manifest
        run = start_run(job.home, f"tune-{job.spec.name}-{job.dataset}", tags={"kind": "tune"}, system_metrics=True)
        with run, gpu_slot(job.device), log_ids(mlflow_run=run.run_id):
            link_run(run)
            _describe(run, job)
            return _tune(run, job, manifest)


def _tune(run: TrackedRun, job: TuneJob, manifest: Manifest) -> TunedEncoder:
    encoder, config = load_tunable(job.spec, job.device), job.config
    unfreeze(encoder, config.blocks)  # more blocks than there are is told before anything is decoded
    train = gather(job, encoder, some_of(manifest.split("train").labelled(), config.num_clips))
    dev = gather(job, encoder, some_of(manifest.split("dev").labelled(), config.num_dev_clips))
    tuner = EncoderTuner(encoder, train, dev, config, job.device)
    epochs = _epochs(run, tuner)
    head_alone = [one for one in epochs if not one.is_tuning]
    done = TunedEncoder(
        run_id=run.run_id,
        stream=job.stream,
        folder=job.folder,
        weights_digest="",
        base_digest=job.spec.weights_digest,
        dev_auc_before=head_alone[-1].dev_auc,
        dev_auc=max(one.dev_auc for one in epochs if one.is_tuning),
        num_blocks=len(encoder.blocks) if config.blocks is None else config.blocks,
        num_train=len(train),
        num_dev=len(dev),
    )
    with staging_folder(job.home.root / STAGING_FOLDER) as private:
        staged = private / "encoder"
        done = replace(done, weights_digest=save_tuned(encoder, staged).weights_digest)
        write_atomically(staged / RECORD_FILE, json.dumps(_record(job, done, epochs), indent=1).encode())
        fsync_tree(staged)
        move_into_place(staged, job.folder)
    run.log_metrics({"dev_auc_before": done.dev_auc_before, "dev_auc_kept": done.dev_auc})
    run.set_tags({"iamsb.weights": done.weights_digest})
    run.log_file(job.folder / RECORD_FILE)
    return done


def _epochs(run: TrackedRun, tuner: EncoderTuner) -> list[TuneEpoch]:
    """Tune to the end; what was seen after each epoch."""
    found = []
    run.log_metrics({"num_learning": tuner.num_learning})
    progress.begin(STAGE, tuner.num_steps)
    for report in tuner.run():
        if isinstance(report, TuneEpoch):
            found.append(report)
            run.log_metrics({"train_loss": report.loss, "dev_auc": report.dev_auc}, report.epoch)
            run.flush(patiently=False)
            who = "head and encoder" if report.is_tuning else "head alone"
            log.info("epoch %d (%s): dev cell AUC %.3f", report.epoch + 1, who, report.dev_auc)
            continue
        progress.report(STAGE, report.step + 1, tuner.num_steps, f"loss {report.loss:.3f}")
        if report.step % _LOG_EVERY_STEPS == 0:
            run.log_metrics({"step_loss": report.loss}, report.step)
    return found


def _describe(run: TrackedRun, job: TuneJob) -> None:
    run.log_config({"encoder": job.spec, "tuning": job.config, "seed": job.config.seed, "device": job.device})
    run.set_tags({"iamsb.job": job.digest, "iamsb.code": code_digest(), "iamsb.encoder": job.spec.name})
    run.log_dataset(job.dataset, job.manifest.sha256, context="training", source={"root": job.root})


def _record(job: TuneJob, done: TunedEncoder, epochs: list[TuneEpoch]) -> dict[str, Any]:
    """Where the weights come from: enough to make them again, and to find what they were made by."""
    made = {"job": job.digest, "code": code_digest(), "device": job.device, "versions": software_versions()}
    data = {"dataset": job.dataset, "root": job.root, "manifest": job.manifest.sha256}
    found: dict[str, Any] = plain(
        {"tuned": done, "encoder": job.spec, "config": job.config, "data": data, "epochs": epochs, "made": made}
    )
    return found


def _outcome(job: TuneJob) -> TunedEncoder | None:
    """What the same job left before, if its weights are still whole; otherwise nothing is left of it."""
    path = job.folder / RECORD_FILE
    if not job.folder.is_dir():
        return None
    try:
        known = json.loads(path.read_text())["tuned"] | {"reused": True, "folder": str(job.folder)}
        done = parse(TunedEncoder, known, where=str(path))
        if weights_digest(job.folder) == done.weights_digest:
            return done
    except (ValueError, OSError, KeyError, TypeError) as error:
        log.warning("%s: %s", job.folder, error)
    log.warning("%s is not as it was left; the encoder is tuned again", job.folder)
    discard(job.folder, job.home.root / STAGING_FOLDER)
    return None
