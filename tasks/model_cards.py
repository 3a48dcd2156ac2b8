"""Inside trainings and evaluations: record what a model's card says, and write the card of a registered model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from iamsb_core.configuration import parse
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Manifest
from iamsb_core.report.model_card import write_model_card
from iamsb_core.report.model_card_words import ModelDescription
from iamsb_core.report.model_figures import ModelFigures, TrainingData, figures
from iamsb_core.training.model_folder import ModelCard, read_card
from storage.home import Home
from storage.model_cards import RECORD, RECORD_TAG, evaluation_records, is_tracked, publish_card, training_record
from storage.refs import ModelRef
from storage.registry import MODEL_NAME, resolve_model
from storage.tracking import TrackedRun

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What a training leaves for the card."""

    data: TrainingData
    dev: ModelFigures | None
    """None without a labelled dev split"""


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """What an evaluation leaves for the card."""

    figures: ModelFigures


def dataset_name(root: Path, layout: str) -> str:
    """What a card calls a dataset: many have the same layout."""
    return f"{root.name} ({layout})"


def record_training(run: TrackedRun, data: TrainingData, dev: ModelFigures | None) -> None:
    """Keep with the training's run what its model's card will say."""
    run.log_json(TrainingRecord(data=data, dev=dev), RECORD)


def record_evaluation(run: TrackedRun, done: ModelFigures) -> None:
    """Keep with the evaluation's run what the card of its model will say."""
    run.log_json(EvaluationRecord(figures=done), RECORD)
    run.set_tags({RECORD_TAG: "yes"})


def measured(
    manifest: Manifest, found: Mapping[str, ClipProposals], protocol: str, *, dataset: str, split: str, sha256: str
) -> ModelFigures | None:
    """Figures of the predicted clips of a manifest, as of today; None where no predicted clip has a label."""
    videos = tuple(video for video in manifest.labelled().videos if video.video_id in found)
    if not videos:
        return None
    durations = {video_id: clip.duration_seconds for video_id, clip in found.items()}
    scored = Manifest(name=manifest.name, root=manifest.root, videos=videos).with_durations(durations)
    today = datetime.now(UTC).date().isoformat()
    unusable = len(manifest.labelled().videos) - len(videos)
    return figures(
        scored,
        found,
        protocol,
        dataset=dataset,
        split=split,
        sha256=sha256,
        date=today,
        num_unusable=unusable,
    )


def write_card(home: Home, ref: ModelRef) -> None:
    """Write the model's card anew from everything that was recorded of it; a model without a run here gets none."""
    if not is_tracked(home, ref):
        log.info("%s was not trained under this tracking store, so no card of it is kept", ref.uri)
        return
    kept = training_record(home, ref)
    folder, _ = resolve_model(home, ref.uri)
    record = None if kept is None else parse(TrainingRecord, kept, where="the training's record")
    evaluations = _latest(
        parse(EvaluationRecord, each, where="an evaluation's record").figures for each in evaluation_records(home, ref)
    )
    text = write_model_card(
        _description(ref, read_card(folder)),
        data=None if record is None else record.data,
        dev=None if record is None else record.dev,
        evaluations=evaluations,
    )
    publish_card(home, ref, markdown=text.markdown, html=text.html, description=text.description)


def _latest(newest_first: Iterable[ModelFigures]) -> tuple[ModelFigures, ...]:
    """The newest of each dataset, split and protocol: test splits first, then by name."""
    kept: dict[tuple[bool, str, str, str], ModelFigures] = {}
    for one in newest_first:
        kept.setdefault((one.split != "test", one.dataset, one.split, one.report.protocol), one)
    return tuple(kept[key] for key in sorted(kept))


def _description(ref: ModelRef, card: ModelCard) -> ModelDescription:
    return ModelDescription(
        uri=f"models:/{MODEL_NAME}/{ref.version}" if ref.version else ref.uri,
        sha256=ref.sha256,
        run_id=ref.run_id,
        system=card.system,
        system_config=card.system_config,
        streams=card.streams,
        audio=card.audio_encoder,
        visual=card.visual_encoder,
        window_seconds=card.window_seconds,
        training_config=card.training.get("config", {}),
        calibration=card.calibration,
        versions=card.versions,
    )
