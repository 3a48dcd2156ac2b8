"""What a report says of one file: frozen records, and the JSON document they become.

The document's format is published beside this file as `report.schema.json` (JSON Schema, draft 2020-12). Seconds
count from the clip's start; scores lie in [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.metrics.calibration import Calibration, ScoreMap

FORMAT = "iamsb-report"
FORMAT_VERSION = 2

LaneName = Literal["audio", "visual", "fused"]
LANES: tuple[LaneName, ...] = ("audio", "visual", "fused")
NOUNS: Mapping[str, str] = {"audio": "sound", "visual": "picture"}
"""What a reader calls a stream."""

Decision = Literal["forged", "not enough evidence", "no evidence of forgery"]


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """The examined video stream, as the container describes it."""

    codec: str
    width: int
    height: int
    rotation_degrees: int
    average_fps: float
    variable_frame_rate: bool
    num_frames: int
    start_seconds: float
    """on the container's clock"""
    bits_per_second: float | None
    """as the container states it"""
    reader: str
    """which reader decoded it"""


@dataclass(frozen=True, kw_only=True)
class SoundFacts:
    """The examined audio stream, as the container describes it."""

    codec: str
    sample_rate_hz: int
    num_channels: int
    start_seconds: float
    """on the container's clock"""
    bits_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class MediaFacts:
    """The file: which bytes were examined, and what they hold."""

    name: str
    """the file's name, without its folder"""
    sha256: str
    size_bytes: int
    duration_seconds: float
    container: str
    written_by: str
    """what the file says of the programs that wrote it; anyone can write anything there"""
    num_video_streams: int
    num_audio_streams: int
    video: PictureFacts | None
    audio: SoundFacts | None


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The model that gave the scores."""

    uri: str
    digest: str
    """SHA-256 of the checkpoint"""
    system: str
    config_digest: str
    run_id: str | None = None
    """the training run, where one is recorded"""


@dataclass(frozen=True, kw_only=True)
class EncoderFacts:
    """The frozen encoders and the device they ran on; None for a stream that was not encoded."""

    audio: EncoderSpec | None
    visual: EncoderSpec | None
    device: str


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """From which scores on the report speaks, and which proposals it shows. Raises ValueError outside [0, 1]."""

    decision: float = 0.5
    """clip score from which the clip may be called forged; a target of false alarms can only raise it"""
    display: float = 0.5
    """proposals below this score are only in the complete lists"""
    max_overlap: float = 0.5
    """a proposal is not shown where a better one covers more than this share of the shorter of the two"""

    def __post_init__(self) -> None:
        for name in ("decision", "display", "max_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"the {name} threshold must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class FalseAlarmFacts:
    """How often genuine video would be called forged, from the genuine clips of the model's dev split."""

    target_per_hour: float
    supported: bool
    """whether the split has enough hours for the target"""
    limit_per_hour: float
    """upper limit of the rate"""
    lowest_per_hour: float
    """the lowest target that the split could support"""
    confidence: float
    """with which the limit holds"""
    num_genuine_clips: int
    genuine_hours: float
    num_false_alarms: int
    """genuine dev clips that may reach the threshold"""
    this_file: float
    """upper limit of the probability that a genuine file as long as this one would be called forged"""


@dataclass(frozen=True, kw_only=True)
class MissFacts:
    """How often a forged clip of the dev split scores so low that nothing would be said of it."""

    num_forged_clips: int
    num_missed: int
    limit_share: float
    """upper limit of the share that is missed"""
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of the whole clip."""

    clip_score: float
    calibrated_score: float | None
    """probability that the clip is forged, where as many are as on the dev split; None where not calibrated"""
    forged_from: float
    """clip score from which the clip is called forged"""
    doubt_from: float
    """clip score from which it is not called free of evidence either"""
    decision: Decision
    summary: str
    """the verdict in words"""
    reasons: tuple[str, ...]
    """what the verdict rests on, in sentences"""
    audio_score: float | None
    """the best proposal's score; None where the stream was not examined"""
    visual_score: float | None
    false_alarms: FalseAlarmFacts | None
    """None where the model's card does not tell"""
    misses: MissFacts | None


@dataclass(frozen=True, kw_only=True)
class ReportedSegment:
    """One forged stretch that the report shows."""

    start_seconds: float
    end_seconds: float
    score: float
    """as the system gave it"""
    calibrated_score: float | None = None
    """probability that it meets a forged stretch at a tiou of 0.5; None where not calibrated"""
    start_interval_seconds: tuple[float, float] | None = None
    """where the start lies, with the coverage that the report's calibration states; None where that is not known"""
    end_interval_seconds: tuple[float, float] | None = None
    streams: tuple[str, ...]
    """which streams speak for it: `audio`, `visual` or both"""


@dataclass(frozen=True, kw_only=True)
class ScoreCurve:
    """The highest score of any proposal over each cell of a grid that starts at t = 0."""

    hop_seconds: float
    scores: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One row of the time line: a stream, or both fused."""

    segments: tuple[ReportedSegment, ...]
    """shown, in order of time"""
    proposals: tuple[tuple[float, float, float], ...]
    """all: start seconds, end seconds, score; by falling score"""
    curve: ScoreCurve


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the report's files say."""

    created: datetime
    """with its time zone"""
    command: tuple[str, ...]
    media: MediaFacts
    model: ModelFacts
    encoders: EncoderFacts
    versions: Mapping[str, str | None]
    thresholds: Thresholds
    verdict: Verdict
    lanes: Mapping[LaneName, Lane | None]
    """None for a stream that was not examined"""
    cells: Mapping[LaneName, ScoreCurve | None]
    """what each cell of a stream says of itself, where the system tells: its share in the scores above it"""
    calibration: Calibration | None
    """None for a model that was trained without a dev split, or before calibration was kept"""
    evidence: Mapping[str, Any]
    """JSON data from the system: why"""
    warnings: tuple[str, ...]
    media_path: Path | None = None
    """where the file was when it was examined, for the page's player; in no other file"""


def document(report: Report) -> dict[str, Any]:
    """The report as JSON data that validates against `report.schema.json`."""
    lanes = report.lanes
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "created": report.created.isoformat(timespec="seconds"),
        "time_zone": report.created.tzname(),
        "command": list(report.command),
        "media": plain(report.media),
        "model": plain(report.model),
        "encoders": {
            "audio": _encoder(report.encoders.audio),
            "visual": _encoder(report.encoders.visual),
            "device": report.encoders.device,
        },
        "versions": dict(report.versions),
        "verdict": _verdict(report.verdict),
        "display": {"threshold": report.thresholds.display, "max_overlap": report.thresholds.max_overlap},
        "segments": {name: plain(lane.segments) if lane else [] for name, lane in lanes.items()},
        "num_proposals": {name: len(lane.proposals) if lane else 0 for name, lane in lanes.items()},
        "proposals": {name: plain(lane.proposals) if lane else [] for name, lane in lanes.items()},
        "curves": {name: plain(lane.curve) if lane else None for name, lane in lanes.items()},
        "cells": {name: plain(curve) if curve else None for name, curve in report.cells.items()},
        "calibration": None if report.calibration is None else calibration_document(report.calibration),
        "evidence": dict(report.evidence),
        "warnings": list(report.warnings),
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """The stream scores side by side, the rest as it is."""
    rest = {name: value for name, value in plain(verdict).items() if name not in ("audio_score", "visual_score")}
    return rest | {"stream_scores": {"audio": verdict.audio_score, "visual": verdict.visual_score}}


def calibration_document(calibration: Calibration) -> dict[str, Any]:
    """What the calibrated numbers rest on; the maps themselves stay in the model's card."""
    lanes = {name: calibration.lane(name) for name in LANES}
    return {
        "clip": _map_facts(calibration.clip),
        "segments": {name: _map_facts(lane.score_map) for name, lane in lanes.items()},
        "boundaries": {name: plain(lane.boundaries) for name, lane in lanes.items()},
    }


def _map_facts(score_map: ScoreMap | None) -> dict[str, Any] | None:
    if score_map is None:
        return None
    known = ("method", "num_cases", "num_true", "ece_before", "ece_after")
    return {name: value for name, value in plain(score_map).items() if name in known}


_ENCODER_FIELDS = ("name", "weights", "weights_digest", "layer", "dtype", "view", "version")
"""of an encoder's specification, as published; what else decides its output is in its identity"""


def _encoder(spec: EncoderSpec | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    told = plain(spec)
    return {name: told[name] for name in _ENCODER_FIELDS} | {"identity": spec.identity}


def schema() -> dict[str, Any]:
    """The published JSON Schema of the document."""
    text = files("iamsb_core.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
