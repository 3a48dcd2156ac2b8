"""Inside one localisation task: decode once, encode, localise, write the report."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from iamsb_core.data.dataset import Item
from iamsb_core.digest import digest
from iamsb_core.encoders.base import EncodedTrack, Encoder
from iamsb_core.encoders.load import load_encoder
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.media.clip import DecodedClip, DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report import (
    EncoderFacts,
    ModelFacts,
    Report,
    ReportFiles,
    Thresholds,
    build_report,
    write_report,
)
from iamsb_core.timeline import FeatureTrack
from iamsb_core.training.model_folder import LoadedModel, ModelCard, load_model
from iamsb_core.training.predict import localize_items
from iamsb_core.training.validation import DECISION_THRESHOLD, DISPLAY_THRESHOLD
from storage.refs import ModelRef
from tasks.policy import gpu_slot

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Localized:
    """What was found in one video, and where the report lies; or why there is none."""

    video: Path
    state: Literal["done", "failed"]
    decision: str = ""
    clip_score: float = 0.0
    audio: tuple[tuple[float, float, float], ...] = ()
    """segments shown in the report: start seconds, end seconds, score"""
    visual: tuple[tuple[float, float, float], ...] = ()
    fused: tuple[tuple[float, float, float], ...] = ()
    warnings: tuple[str, ...] = ()
    report_json: Path | None = None
    report_html: Path | None = None
    report_vtt: Path | None = None
    error: str = ""


@dataclass(frozen=True)
class Localizer:
    """A model with its encoders, on a device."""

    model: LoadedModel
    ref: ModelRef
    encoders: Mapping[Modality, Encoder]
    device: str
    thresholds: Thresholds

    @classmethod
    def load(cls, folder: Path, ref: ModelRef, device: str, thresholds: Thresholds | None) -> Localizer:
        """Without thresholds, those chosen on the model's own dev split.

        Raises ValueError where the model, or the weights of its encoders, cannot be used here.
        """
        model = load_model(folder, device)
        specs = {Modality.AUDIO: model.card.audio_encoder, Modality.VISUAL: model.card.visual_encoder}
        encoders = {modality: load_encoder(spec, device) for modality, spec in specs.items()}
        return cls(model, ref, encoders, device, _own_thresholds(model.card) if thresholds is None else thresholds)

    def report(self, video: Path, folder: Path) -> Localized:
        """Report on one video; one that cannot be decoded is a result too."""
        try:
            with MediaDecoder() as decoder, gpu_slot(self.device):
                clip = decoder.decode(video, self.model.card.visual_encoder.view, audio=True)
                return self._report(video, clip, folder)
        except DecodeError as error:
            log.warning("%s: %s", video, error)
            return Localized(video=video, state="failed", error=f"{error.kind}: {error}")

    def _report(self, video: Path, clip: DecodedClip, folder: Path) -> Localized:
        tracks = _encode(clip, self.encoders)
        card = self.model.card
        truth = {modality: np.zeros((0, 2)) for modality in STREAMS}
        item = Item(video.name, clip.duration_seconds, tracks, truth)
        (proposals,) = localize_items(self.model.system, [item], card.streams, card.window_seconds, self.device)
        has = {modality: track is not None for modality, track in tracks.items()}
        report = build_report(
            media=video,
            clip=clip,
            proposals=proposals,
            model=_facts(self.ref, card),
            encoders=EncoderFacts(
                audio=card.audio_encoder if has[Modality.AUDIO] else None,
                visual=card.visual_encoder if has[Modality.VISUAL] else None,
                device=self.device,
            ),
            command=("iamsb", "localize", str(video), "--model", self.ref.uri),
            thresholds=self.thresholds,
        )
        return _localized(video, report, write_report(folder, report, clip))


def _own_thresholds(card: ModelCard) -> Thresholds:
    """The operating points that training chose; the defaults for a model that was trained without a dev split."""
    named = {"display": DISPLAY_THRESHOLD, "decision": DECISION_THRESHOLD}
    chosen = {name: card.metrics[metric] for name, metric in named.items() if metric in card.metrics}
    return Thresholds(**chosen)


def _localized(video: Path, report: Report, files: ReportFiles) -> Localized:
    shown = {
        name: () if lane is None else tuple((s.start_seconds, s.end_seconds, s.score) for s in lane.segments)
        for name, lane in report.lanes.items()
    }
    return Localized(
        video=video,
        state="done",
        decision=report.verdict.decision,
        clip_score=report.verdict.clip_score,
        audio=shown["audio"],
        visual=shown["visual"],
        fused=shown["fused"],
        warnings=report.warnings,
        report_json=files.json,
        report_html=files.html,
        report_vtt=files.vtt,
    )


def _encode(clip: DecodedClip, encoders: Mapping[Modality, Encoder]) -> dict[Modality, EncodedTrack | None]:
    """Both streams, None for one that the clip lacks; in the store's precision, so that a report and an evaluation
    of the same clip agree."""
    present = {Modality.AUDIO: clip.waveform is not None, Modality.VISUAL: clip.frames is not None}
    tracks = {modality: encoders[modality].encode([clip])[0] for modality in STREAMS if present[modality]}
    return {modality: _as_stored(tracks[modality]) if modality in tracks else None for modality in STREAMS}


def _as_stored(track: EncodedTrack) -> EncodedTrack:
    return EncodedTrack(_half(track.main), None if track.fine is None else _half(track.fine))


def _half(track: FeatureTrack) -> FeatureTrack:
    return FeatureTrack(track.values.astype(np.float16), track.grid)


def _facts(ref: ModelRef, card: ModelCard) -> ModelFacts:
    return ModelFacts(
        uri=ref.uri,
        digest=ref.sha256,
        system=card.system,
        config_digest=digest(card.system_config),
        run_id=ref.run_id or None,
    )


def report_folders(videos: list[Path], out: Path | None, otherwise: Path) -> dict[Path, Path]:
    """Where each video's report goes: `out` itself for one, a folder of its own name in it for several.

    Where no `out` was named, every path has a folder of its own in `otherwise`, so that no report is written over.
    """
    own = {video: f"{video.stem}-{digest(str(video))[:8]}" for video in videos}
    if out is None:
        return {video: otherwise / own[video] for video in videos}
    if len(videos) == 1:
        return {videos[0]: out}
    names = [video.stem for video in videos]
    return {video: out / (video.stem if names.count(video.stem) == 1 else own[video]) for video in videos}
