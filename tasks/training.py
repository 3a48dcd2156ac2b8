"""One training process: the system, the loop, the weights that are kept; alone, or one of a team."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from iamsb_core.data.dataset import ClipDataset
from iamsb_core.data.source import FeatureSource
from iamsb_core.digest import digest, plain
from iamsb_core.manifest import Manifest
from iamsb_core.metrics.calibration import Calibration
from iamsb_core.report.build import software_versions
from iamsb_core.systems.base import System, create_system
from iamsb_core.training.loop import SELECTION, Trainer
from iamsb_core.training.model_folder import ModelCard, load_model, save_model
from iamsb_core.training.seeding import seeded
from iamsb_core.training.team import ALONE, Team
from iamsb_core.training.validation import validate
from storage.refs import ModelRef
from storage.registry import resolve_model
from tasks.train_job import TrainJob, checked_system_config, code_digest

MODEL_FOLDER = "model"
_INITIALISATION = 7_919
"""beside the seed, so that initial weights are drawn apart from everything a step draws"""


def trainer_of(job: TrainJob, source: FeatureSource, train: Manifest, dev: Manifest, team: Team = ALONE) -> Trainer:
    """What trains the job's system, from its last checkpoint on; the first of a team keeps the model."""
    dataset = ClipDataset(source, train.videos, window_seconds=job.training.window_seconds)
    config = checked_system_config(job.system, job.system_config)
    with seeded(job.training.seed, _INITIALISATION):
        system = create_system(job.system, source.streams, config)
    if job.start is not None and team.is_first:
        _begin_with(system, job, job.start)
    kept = _Kept(job, source, dev)
    return Trainer(
        system,
        dataset,
        job.training,
        job.folder / "checkpoints",
        run_digest=job.digest,
        validate=kept.validate,
        keep=kept.keep,
        device=job.device,
        fit_normalisation=job.start is None,
        team=team,
    )


def _begin_with(system: System[Any], job: TrainJob, start: ModelRef) -> None:
    """Take a model's weights and how it standardises features. Raises ValueError where it is another kind of model."""
    folder, _ = resolve_model(job.home, start.uri)
    model = load_model(folder)
    card = model.card
    theirs = [card.system, card.system_config, card.audio_encoder.identity, card.visual_encoder.identity]
    ours = [job.system, job.system_config, job.audio.identity, job.visual.identity]
    names = ("system", "configuration of the system", "audio encoder", "visual encoder")
    other = [name for name, a, b in zip(names, theirs, ours, strict=True) if digest(a) != digest(b)]
    if other:
        raise ValueError(
            f"cannot go on from {start.uri}: it has another {' and another '.join(other)}; train from scratch, or "
            "give the configuration that it was trained with"
        )
    system.load_state_dict(model.system.state_dict())


class _Kept:
    """Looks at the dev split, and keeps the weights that did best on it beside what that look said of their scores."""

    def __init__(self, job: TrainJob, source: FeatureSource, dev: Manifest) -> None:
        self._job, self._source, self._dev = job, source, dev
        self._calibration: Calibration | None = None

    def validate(self, system: System[Any]) -> Mapping[str, float]:
        """Without a dev split every epoch counts the same, and so the last one is kept."""
        if not self._dev.videos:
            return {SELECTION: 0.0}
        job = self._job
        window_seconds = job.training.window_seconds
        done = validate(system, self._source, self._dev, window_seconds=window_seconds, device=job.device)
        self._calibration = done.calibration
        return done.metrics

    def keep(self, weights: Mapping[str, Tensor], metrics: Mapping[str, float]) -> None:
        """Write the model; these weights are the ones that were looked at last."""
        job = self._job
        data = {"dataset": job.dataset, "manifest": job.manifest.sha256, "job": job.digest, "code": code_digest()}
        data |= {"recipe": job.recipe, "data": job.data_sha256}
        data |= {} if job.start is None else {"start": job.start.uri, "start_sha256": job.start.sha256}
        card = ModelCard(
            system=job.system,
            system_config=job.system_config,
            streams=self._source.streams,
            audio_encoder=job.audio,
            visual_encoder=job.visual,
            window_seconds=job.training.window_seconds,
            training={"config": plain(job.training), **data},
            metrics=dict(metrics),
            calibration=self._calibration,
            versions={name: version or "" for name, version in software_versions().items()},
        )
        save_model(job.folder / MODEL_FOLDER, weights, card)
