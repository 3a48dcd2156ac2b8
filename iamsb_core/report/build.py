"""From a decoded clip and a system's proposals to the report."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.media.clip import DecodedClip
from iamsb_core.metrics.calibration import Calibration
from iamsb_core.report.cells import cell_curves
from iamsb_core.report.evidence import (
    LANES,
    EncoderFacts,
    Lane,
    LaneName,
    MediaFacts,
    ModelFacts,
    PictureFacts,
    Report,
    SoundFacts,
    Thresholds,
)
from iamsb_core.report.media_warnings import media_warnings, sentence, unfit_streams
from iamsb_core.report.proposals import fused_lane, stream_lane
from iamsb_core.report.verdict import FALSE_ALARMS_PER_HOUR, verdict

REPORTED_PACKAGES = (
    "iamsb", "torch", "torchaudio", "transformers", "prefect", "mlflow", "zarr", "numpy", "av", "decord",
)  # fmt: skip


def build_report(
    *,
    media: PurePath | str,
    clip: DecodedClip,
    proposals: ClipProposals,
    model: ModelFacts,
    encoders: EncoderFacts,
    command: Sequence[str],
    thresholds: Thresholds | None = None,
    calibration: Calibration | None = None,
    false_alarms_per_hour: float | None = FALSE_ALARMS_PER_HOUR,
    created: datetime | None = None,
    warnings: Sequence[str] = (),
) -> Report:
    """The report on one clip.

    A stream that `clip` does not carry (no waveform, no frames) is reported as not examined, whatever proposals
    it has. `calibration` is the model's own; with it, and unless the target is None, the clip is called forged only
    from a score that genuine video reaches at most `false_alarms_per_hour` times an hour. `created` defaults to now,
    in the machine's time zone; `warnings` go before those about the media. Raises ValueError for a time without zone,
    a clip without length, a score outside [0, 1], a target that is not positive, and proposals that cannot be
    reported.
    """
    thresholds = Thresholds() if thresholds is None else thresholds
    created = datetime.now().astimezone() if created is None else created
    if created.tzinfo is None:
        raise ValueError(f"the report's time {created} has no time zone; pass datetime.now().astimezone()")
    if not clip.duration_seconds > 0.0:
        raise ValueError(f"{PurePath(media).name} lasts {clip.duration_seconds} s; there is nothing to report on")
    lanes = _lanes(clip, proposals, thresholds, calibration)
    cells, evidence = cell_curves(json_data(proposals.evidence), clip.duration_seconds)
    return Report(
        created=created,
        command=tuple(map(_readable, command)),
        media=media_facts(media, clip),
        model=model,
        encoders=encoders,
        versions=software_versions(),
        thresholds=thresholds,
        verdict=verdict(
            proposals.clip_score,
            thresholds,
            lanes,
            duration_seconds=clip.duration_seconds,
            calibration=calibration,
            target_per_hour=false_alarms_per_hour,
            unfit=unfit_streams(clip),
        ),
        lanes=lanes,
        cells={name: cells.get(name) if lanes[name] is not None else None for name in LANES},
        calibration=calibration,
        evidence=evidence,
        warnings=tuple(dict.fromkeys([*map(sentence, warnings), *media_warnings(clip)])),
        media_path=Path(media).absolute(),
    )


def _lanes(
    clip: DecodedClip, proposals: ClipProposals, thresholds: Thresholds, calibration: Calibration | None
) -> dict[LaneName, Lane | None]:
    examined = {"audio": clip.waveform is not None, "visual": clip.frames is not None}
    of = {name: None if calibration is None else calibration.lane(name) for name in LANES}
    streams = {
        name: stream_lane(proposals.of(stream), clip.duration_seconds, thresholds, name, of[name])
        for stream, name in ((Modality.AUDIO, LANES[0]), (Modality.VISUAL, LANES[1]))
        if examined[name]
    }
    fused = None
    if streams:
        found = {str(name): lane for name, lane in streams.items()}
        fused = fused_lane(proposals.fused, clip.duration_seconds, thresholds, found, of["fused"])
    return {"audio": streams.get("audio"), "visual": streams.get("visual"), "fused": fused}


def media_facts(media: PurePath | str, clip: DecodedClip) -> MediaFacts:
    """The file's name and what its container says."""
    probe = clip.probe
    video = PictureFacts(
        codec=probe.video_codec or "unknown",
        width=probe.width,
        height=probe.height,
        rotation_degrees=probe.rotation_degrees,
        average_fps=round(probe.average_fps, 6),
        variable_frame_rate=probe.variable_frame_rate,
        num_frames=probe.num_video_frames,
        start_seconds=round(probe.video_start_seconds, 6),
        bits_per_second=probe.video_bits_per_second,
        reader=clip.reader,
    )
    audio = SoundFacts(
        codec=probe.audio_codec or "unknown",
        sample_rate_hz=probe.sample_rate_hz,
        num_channels=probe.num_channels,
        start_seconds=round(probe.audio_start_seconds, 6),
        bits_per_second=probe.audio_bits_per_second,
    )
    return MediaFacts(
        name=_readable(PurePath(media).name),
        sha256=probe.sha256,
        size_bytes=probe.size_bytes,
        duration_seconds=clip.duration_seconds,
        container=probe.container,
        written_by=_readable(probe.written_by),
        num_video_streams=probe.num_video_streams,
        num_audio_streams=probe.num_audio_streams,
        video=video if probe.num_video_streams else None,
        audio=audio if probe.num_audio_streams else None,
    )


def _readable(text: str) -> str:
    """Text that can be written as UTF-8: bytes of a file name that are no text become `\\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def software_versions() -> dict[str, str | None]:
    """Version of Python and of each package that can change a result; None where it is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in REPORTED_PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def json_data(value: Any) -> Any:
    """JSON data: NumPy scalars and arrays become numbers and lists; numbers that are not finite become None.

    Raises TypeError for anything that JSON cannot hold.
    """
    if isinstance(value, Mapping):
        return {str(key): json_data(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return json_data(value.tolist())
    if isinstance(value, list | tuple):
        return [json_data(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"evidence holds a {type(value).__name__}, which JSON cannot hold; use numbers, strings and lists")
