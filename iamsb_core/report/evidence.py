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
from typing import Any, Literal

from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncoderSpec

FORMAT = "iamsb-report"
FORMAT_VERSION = 1

LaneName = Literal["audio", "visual", "fused"]
LANES: tuple[LaneName, ...] = ("audio", "visual", "fused")
NOUNS: Mapping[str, str] = {"audio": "sound", "visual": "picture"}
"""What a reader calls a stream."""

Decision = Literal["forged", "no evidence"]


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


@dataclass(frozen=True, kw_only=True)
class MediaFacts:
    """The file: which bytes were examined, and what they hold."""

    name: str
    """the file's name, without its folder"""
    sha256: str
    size_bytes: int
    duration_seconds: float
    container: str
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
    """clip score from which the clip is called forged"""
    display: float = 0.5
    """proposals below this score are only in the complete lists"""
    max_overlap: float = 0.5
    """a proposal is not shown where a better one covers more than this share of the shorter of the two"""

    def __post_init__(self) -> None:
        for name in ("decision", "display", "max_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"the {name} threshold must lie in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of the whole clip."""

    clip_score: float
    threshold: float
    decision: Decision
    summary: str
    """the verdict in words"""
    audio_score: float | None
    """the best proposal's score; None where the stream was not examined"""
    visual_score: float | None


@dataclass(frozen=True, kw_only=True)
class ReportedSegment:
    """One forged stretch that the report shows."""

    start_seconds: float
    end_seconds: float
    score: float
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
    evidence: Mapping[str, Any]
    """JSON data from the system: why"""
    warnings: tuple[str, ...]


def document(report: Report) -> dict[str, Any]:
    """The report as JSON data that validates against `report.schema.json`."""
    lanes, verdict = report.lanes, report.verdict
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
        "verdict": {
            "clip_score": verdict.clip_score,
            "threshold": verdict.threshold,
            "decision": verdict.decision,
            "summary": verdict.summary,
            "stream_scores": {"audio": verdict.audio_score, "visual": verdict.visual_score},
        },
        "display": {"threshold": report.thresholds.display, "max_overlap": report.thresholds.max_overlap},
        "segments": {name: plain(lane.segments) if lane else [] for name, lane in lanes.items()},
        "num_proposals": {name: len(lane.proposals) if lane else 0 for name, lane in lanes.items()},
        "proposals": {name: plain(lane.proposals) if lane else [] for name, lane in lanes.items()},
        "curves": {name: plain(lane.curve) if lane else None for name, lane in lanes.items()},
        "evidence": dict(report.evidence),
        "warnings": list(report.warnings),
    }


def _encoder(spec: EncoderSpec | None) -> dict[str, Any] | None:
    if spec is None:
        return None
    return {name: value for name, value in plain(spec).items() if name != "perturbations"} | {"identity": spec.identity}


def schema() -> dict[str, Any]:
    """The published JSON Schema of the document."""
    text = files("iamsb_core.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
