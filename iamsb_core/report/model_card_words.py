"""The sentences of a model card: what the model is for, what it is not for, and the limits that its records show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iamsb_core.encoders.base import EncoderSpec, Streams
from iamsb_core.metrics.calibration import Calibration
from iamsb_core.report.model_figures import ModelFigures, TrainingData

INTENDED_USES = (
    "Pointing an analyst at stretches of a talking-head video that may have been forged, for a person to judge.",
    "Research on the temporal localisation of audio-visual forgeries, under the protocols named here.",
    "Sorting many videos by how much they deserve a look.",
)
NOT_INTENDED = (
    "Deciding by itself whether a video is genuine: a score is no proof, and no evidence of forgery no certificate.",
    "Identifying people, or judging whether what is said is true.",
    "Videos unlike those it was measured on: see the limits.",
)
CHOSEN_ON_DEV = (
    "These clips also chose the weights, the thresholds and the calibration, so the numbers are hopeful; an evaluation "
    "on a test split is not."
)
NOT_EVALUATED = "Not evaluated on a test split yet: `iamsb evaluate` measures it and writes this card anew."
SLICINGS: Mapping[str, str] = {
    "dataset": "by dataset",
    "split": "by split",
    "modality": "by forged streams",
    "generator": "by generator",
    "duration": "by duration of the clip",
    "forged_length": "by the clip's longest forged segment",
    "segment_length": "by length of the segments to be found",
}


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a model's own card.json says, and where it is registered."""

    uri: str
    sha256: str
    run_id: str
    system: str
    system_config: Mapping[str, Any]
    streams: Streams
    audio: EncoderSpec
    visual: EncoderSpec
    window_seconds: float
    training_config: Mapping[str, Any]
    calibration: Calibration | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def data_notes(data: TrainingData | None) -> tuple[str, ...]:
    """What is known of where the training data come from."""
    if data is None:
        return ("What it was trained on was not recorded when it was trained.",)
    notes = [f"Dataset `{data.dataset}`, manifest SHA-256 {data.manifest_sha256[:12]}."]
    sources = data.data_card.get("sources") or {}
    if data.data_card:
        kind = "drawn people" if sources.get("drawn") else "genuine recordings"
        notes.append(
            f"Made by `iamsb forge` from {kind} (digest {str(data.data_card.get('digest'))[:12]}); licence of the "
            f"sources: {sources.get('licence')}."
        )
    return tuple(notes)


def limits(model: ModelDescription, data: TrainingData | None, evaluations: Sequence[ModelFigures]) -> tuple[str, ...]:
    """What the records show that the model cannot be trusted with, a sentence each."""
    return tuple(_limits(model, data, evaluations))


def _limits(model: ModelDescription, data: TrainingData | None, evaluations: Sequence[ModelFigures]) -> Iterator[str]:
    measured = sorted({each.dataset for each in evaluations})
    if data is not None and (data.data_card.get("sources") or {}).get("drawn"):
        yield "It has seen drawn people only. What it says of real recordings means nothing: train on real data first."
    known = f", and was measured on {', '.join(measured)}" if measured else ""
    yield (
        f"It learned from {'an unrecorded dataset' if data is None else data.dataset}{known}: other forgers, "
        "languages, cameras and codecs are unproven. `iamsb robustness` measures the last."
    )
    sound, picture = model.streams.audio, model.streams.visual
    yield (
        f"Sound is seen in cells of {_finest(sound.hop_seconds, sound.fine_hop_seconds)} s and picture in cells of "
        f"{_finest(picture.hop_seconds, picture.fine_hop_seconds)} s; "
        f"a video longer than {model.window_seconds:g} s is examined in windows of that length."
    )
    yield from _calibration(model.calibration)
    if not evaluations:
        yield "It was measured only on the clips that chose its weights."


def _finest(hop_seconds: float, fine_hop_seconds: float) -> str:
    return f"{fine_hop_seconds or hop_seconds:g}"


def _calibration(calibration: Calibration | None) -> Iterator[str]:
    if calibration is None:
        yield "It has no calibration: its scores are no probabilities, and no rate of false alarms can be promised."
        return
    limit = calibration.false_alarms.limit(1.0)
    if limit is None:
        yield "Its dev split holds no genuine clip, so that no rate of false alarms can be promised."
    elif not limit.supported:
        yield (
            f"Its dev split holds {calibration.false_alarms.hours * 60:.1f} minutes of genuine video in "
            f"{calibration.false_alarms.num_clips} clips: too few to promise less than {limit.lowest_per_hour:,.0f} "
            "false alarms per hour."
        )
    if calibration.clip is None:
        yield "Too few dev clips to turn a clip's score into a probability."
