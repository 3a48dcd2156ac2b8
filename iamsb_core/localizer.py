"""From a video to its report: a model and its encoders, loaded once, look at any number of videos.

    from iamsb_core import localize
    found = localize("talk.mp4", "path/to/model")     # a model folder: model.safetensors and card.json
    found.decision, found.segments["audio"]
    found.save("report", exports=["srt", "eaf"])

For many videos load the model once: `localizer = Localizer.load("path/to/model")`, `localizer.localize("talk.mp4")`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from iamsb_core.data.dataset import Item
from iamsb_core.digest import digest
from iamsb_core.encoders.base import EncodedTrack, Encoder
from iamsb_core.encoders.load import load_encoder
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.media.clip import DecodedClip
from iamsb_core.media.isolation import PIECE, MediaDecoder
from iamsb_core.media.pieces import ClipPiece, PieceSize
from iamsb_core.report import (
    EncoderFacts,
    ModelFacts,
    Report,
    ReportFiles,
    Thresholds,
    build_report,
    report_json,
    write_report,
)
from iamsb_core.report.evidence import FORMAT_VERSION, ReportedSegment
from iamsb_core.report.verdict import FALSE_ALARMS_PER_HOUR
from iamsb_core.timeline import FeatureTrack, TimeGrid
from iamsb_core.training.model_folder import LoadedModel, ModelCard, load_model
from iamsb_core.training.predict import localize_items
from iamsb_core.training.validation import DECISION_THRESHOLD, DISPLAY_THRESHOLD


@dataclass(frozen=True, kw_only=True)
class LongClip(DecodedClip):
    """A clip whose pictures were encoded as they were decoded; its own are a sample of them."""

    visual: EncodedTrack


@dataclass(frozen=True)
class Localization:
    """What was found in one video."""

    report: Report
    clip: DecodedClip = field(repr=False)
    """the decoded media, in temporary files that last as long as this object: the page shows parts of it"""

    @property
    def decision(self) -> str:
        """What is said of the whole video."""
        return self.report.verdict.decision

    @property
    def segments(self) -> dict[str, tuple[ReportedSegment, ...]]:
        """The shown segments of `audio`, `visual` and `fused`, in order of time."""
        return {name: () if lane is None else lane.segments for name, lane in self.report.lanes.items()}

    def to_json(self) -> str:
        """The document that `save` writes as report.json."""
        return report_json(self.report)

    def save(
        self, folder: str | os.PathLike[str], exports: Iterable[str] = (), *, embed_video: bool = False
    ) -> ReportFiles:
        """Write report.json, report.html, report.vtt, a poster and these exports (`srt`, `eaf`, ... or `all`).

        The page plays the video from where it lies, or with embed_video from inside the page (up to 64 MiB).
        """
        return write_report(Path(folder), self.report, self.clip, exports, embed_video=embed_video)


@dataclass(frozen=True)
class Localizer:
    """A model with its encoders, on a device."""

    model: LoadedModel
    encoders: Mapping[Modality, Encoder]
    device: str
    thresholds: Thresholds
    false_alarms_per_hour: float | None = FALSE_ALARMS_PER_HOUR
    uri: str = ""
    """what the reports call the model"""
    run_id: str = ""

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        device: str = "auto",
        thresholds: Thresholds | None = None,
        false_alarms_per_hour: float | None = FALSE_ALARMS_PER_HOUR,
        uri: str = "",
        run_id: str = "",
    ) -> Localizer:
        """The model in a folder.

        device: `auto`, `cpu`, `cuda` or `cuda:N`. Without thresholds, those chosen on the model's own dev split hold;
        false_alarms_per_hour is the target from which a clip is called forged (None: the decision threshold alone).
        Raises ValueError where the model, or the weights of its encoders, cannot be used here.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_model(Path(folder), device)
        specs = {Modality.AUDIO: model.card.audio_encoder, Modality.VISUAL: model.card.visual_encoder}
        return cls(
            model=model,
            encoders={modality: load_encoder(spec, device) for modality, spec in specs.items()},
            device=device,
            thresholds=own_thresholds(model.card) if thresholds is None else thresholds,
            false_alarms_per_hour=false_alarms_per_hour,
            uri=uri or str(folder),
            run_id=run_id,
        )

    @property
    def settings(self) -> str:
        """Digest of everything but the media that decides a report: the model, the thresholds, the report's format."""
        return digest([self.model.sha256, self.thresholds, self.false_alarms_per_hour, FORMAT_VERSION])

    def localize(self, video: str | os.PathLike[str]) -> Localization:
        """Examine one video. Raises DecodeError where it cannot be decoded, saying why and what to do."""
        with MediaDecoder() as decoder:
            return self.examine(Path(video), self.decode(decoder, Path(video)))

    def decode(self, decoder: MediaDecoder, video: Path, *, piece: PieceSize = PIECE) -> DecodedClip:
        """Sound and picture of one video as the encoders want them. Raises DecodeError.

        Pictures of a clip longer than a piece (ten minutes) are encoded as they are decoded; what returns has samples.
        """
        view = self.model.card.visual_encoder.view
        encoder = self.encoders[Modality.VISUAL]
        if view is None or encoder.stream.fine_dim or abs(encoder.stream.hop_seconds * view.rate_hz - 1.0) > 1e-9:
            return decoder.decode(video, view, audio=True)
        parts: list[NDArray[np.floating]] = []

        def encode(piece: ClipPiece) -> None:
            if piece.place.keep_first == 0:
                parts.clear()
            parts.append(_as_stored(encoder.encode([piece.clip])[0]).main.values[piece.inside])

        clip = decoder.decode(video, view, audio=True, on_piece=encode, piece=piece)
        if not parts or clip.frames is None:
            return clip
        track = FeatureTrack(np.concatenate(parts), TimeGrid.covering(clip.duration_seconds, 1.0 / view.rate_hz))
        return LongClip(**{each.name: getattr(clip, each.name) for each in fields(clip)}, visual=EncodedTrack(track))

    def examine(
        self,
        video: Path,
        clip: DecodedClip,
        command: Sequence[str] | None = None,
        *,
        begins: Callable[[str], None] | None = None,
    ) -> Localization:
        """Encode, localise, and report on a decoded video; command: what a reader would type for the same result.

        begins: told `encode`, `localise` and `report` as each begins.
        """
        begin = begins or (lambda _: None)
        begin("encode")
        card, tracks = self.model.card, self._encode(clip)
        begin("localise")
        truth = {modality: np.zeros((0, 2)) for modality in STREAMS}
        item = Item(video.name, clip.duration_seconds, tracks, truth)
        found = localize_items(self.model.system, [item], card.streams, card.window_seconds, self.device, explain=True)
        (proposals,) = found
        begin("report")
        report = build_report(
            media=video,
            clip=clip,
            proposals=proposals,
            model=self._model_facts(),
            encoders=EncoderFacts(
                audio=None if tracks[Modality.AUDIO] is None else card.audio_encoder,
                visual=None if tracks[Modality.VISUAL] is None else card.visual_encoder,
                device=self.device,
            ),
            command=[Path(sys.argv[0]).name, *sys.argv[1:]] if command is None else command,
            thresholds=self.thresholds,
            calibration=card.calibration,
            false_alarms_per_hour=self.false_alarms_per_hour,
        )
        return Localization(report, clip)

    def _encode(self, clip: DecodedClip) -> dict[Modality, EncodedTrack | None]:
        """Both streams, None for one that the clip lacks; in the store's precision, so that a report and an
        evaluation of the same clip agree."""
        known = {Modality.VISUAL: clip.visual} if isinstance(clip, LongClip) else {}
        present = {Modality.AUDIO: clip.waveform is not None, Modality.VISUAL: clip.frames is not None}
        encoded = {
            modality: _as_stored(self.encoders[modality].encode([clip])[0])
            for modality in STREAMS
            if present[modality] and modality not in known
        }
        return {modality: {**encoded, **known}.get(modality) for modality in STREAMS}

    def _model_facts(self) -> ModelFacts:
        card = self.model.card
        return ModelFacts(
            uri=self.uri,
            digest=self.model.sha256,
            system=card.system,
            config_digest=digest(card.system_config),
            run_id=self.run_id or None,
        )


def localize(
    video: str | os.PathLike[str],
    model: str | os.PathLike[str],
    *,
    device: str = "auto",
    thresholds: Thresholds | None = None,
    false_alarms_per_hour: float | None = FALSE_ALARMS_PER_HOUR,
) -> Localization:
    """Say when, and in which stream, one video was forged.

    model: a model folder, such as `iamsb train` leaves (model.safetensors and card.json). The other arguments are
    those of `Localizer.load`. Raises DecodeError for a video and ValueError for a model that cannot be used.
    """
    chosen = Localizer.load(model, device=device, thresholds=thresholds, false_alarms_per_hour=false_alarms_per_hour)
    return chosen.localize(video)


def own_thresholds(card: ModelCard) -> Thresholds:
    """The operating points that training chose; the defaults for a model that was trained without a dev split."""
    named = {"display": DISPLAY_THRESHOLD, "decision": DECISION_THRESHOLD}
    return Thresholds(**{name: card.metrics[metric] for name, metric in named.items() if metric in card.metrics})


def _as_stored(track: EncodedTrack) -> EncodedTrack:
    return EncodedTrack(_half(track.main), None if track.fine is None else _half(track.fine))


def _half(track: FeatureTrack) -> FeatureTrack:
    return FeatureTrack(track.values.astype(np.float16), track.grid)
