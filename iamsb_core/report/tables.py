"""The page's tables: media, model, encoders, how the report was made, and software, as rows of text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.metrics.calibration import BoundaryIntervals, Calibration, ScoreMap
from iamsb_core.report.evidence import MediaFacts, PictureFacts, Report, SoundFacts
from iamsb_core.report.evidence_tables import Table, evidence_tables, facts
from iamsb_core.report.headline import clock, visible
from iamsb_core.report.verdict import score_text

TRUST = "How far the numbers can be trusted"
_MAP_ROWS = ("Probability", "Dev cases", "Calibration error")
_END_ROWS = ("Start lies within", "End lies within", "Coverage of right segments", "Matched dev segments")


def tables(report: Report) -> tuple[Table, ...]:
    """Every table of the page but the one of segments, in the page's order; none is empty."""
    found = [
        *_trust(report.calibration),
        *evidence_tables(report.evidence),
        facts("Media", _media(report.media)),
        facts("Model", _model(report)),
        *_encoders(report),
        facts("How this was made", _making(report)),
        facts("Software", {name: number or "not installed" for name, number in report.versions.items()}),
    ]
    return tuple(table for table in found if table.rows)


def _media(media: MediaFacts) -> dict[str, str]:
    return {
        "File": visible(media.name),
        "SHA-256": media.sha256,
        "Size": f"{media.size_bytes:,} bytes",
        "Duration": f"{clock(media.duration_seconds)}",
        "Container": media.container,
        "Written by (its tags)": visible(media.written_by) or "nothing is said",
        "Streams": f"{media.num_video_streams} video, {media.num_audio_streams} audio",
        "Picture": "none" if media.video is None else _picture(media.video),
        "Sound": "none" if media.audio is None else _sound(media.audio),
    }


def _trust(calibration: Calibration | None) -> Iterator[Table]:
    """What the probabilities and the intervals rest on."""
    if calibration is None:
        yield facts(TRUST, {"Not calibrated": "The model's card tells nothing of its scores: take them as ranks."})
        return
    lanes = (calibration.audio, calibration.visual, calibration.fused)
    maps = [_map(each) for each in (*(lane.score_map for lane in lanes), calibration.clip)]
    ends = [*(_ends(lane.boundaries) for lane in lanes), ("",) * len(_END_ROWS)]
    hope = ("Fitted on", "the dev split, which chose the model too: a little hopeful", "", "", "")
    rows = [*zip(_MAP_ROWS, *maps, strict=True), *zip(_END_ROWS, *ends, strict=True), hope]
    yield Table(TRUST, ("Sound", "Picture", "Fused", "Whole clip"), tuple(rows))


def _map(score_map: ScoreMap | None) -> tuple[str, ...]:
    if score_map is None:
        return ("not calibrated: too few dev cases", "", "")
    method = {"platt": "Platt's map", "isotonic": "isotonic map"}[score_map.method]
    cases = f"{score_map.num_cases:,}, of which {score_map.num_true:,} right"
    return (method, cases, f"{score_map.ece_before:.3f} before, {score_map.ece_after:.3f} after")


def _ends(boundaries: BoundaryIntervals) -> tuple[str, ...]:
    number = f"{boundaries.num_segments:,}"
    if boundaries.start_seconds is None or boundaries.end_seconds is None or boundaries.coverage is None:
        return (f"no interval: too few for {boundaries.level:.0%}", "", "", number)
    start, end = (f"\N{PLUS-MINUS SIGN} {each:.3f} s" for each in (boundaries.start_seconds, boundaries.end_seconds))
    return (start, end, f"{boundaries.coverage:.1%} or more, each end", number)


def _picture(video: PictureFacts) -> str:
    rate = f"{video.average_fps:.2f} per second{', varying' if video.variable_frame_rate else ''}"
    turned = f", turned by {video.rotation_degrees} degrees" if video.rotation_degrees else ""
    return (
        f"{video.codec}, {video.width} x {video.height}{turned}, {video.num_frames:,} frames at {rate}"
        f"{_rate(video.bits_per_second)}, "
        f"from {video.start_seconds:.3f} s on the container's clock, read by {video.reader}"
    )


def _rate(bits_per_second: float | None) -> str:
    return "" if bits_per_second is None else f", {bits_per_second / 1000:,.0f} kbit per second"


def _sound(audio: SoundFacts) -> str:
    channels = f"{audio.num_channels} channel{'' if audio.num_channels == 1 else 's'}"
    rate = f"{audio.sample_rate_hz:,} Hz{_rate(audio.bits_per_second)}"
    return f"{audio.codec}, {rate}, {channels}, from {audio.start_seconds:.3f} s on the container's clock"


def _model(report: Report) -> dict[str, str]:
    model = report.model
    facts = {"System": model.system, "Address": model.uri, "Checkpoint digest": model.digest}
    facts["Configuration digest"] = model.config_digest
    return facts if model.run_id is None else {**facts, "Training run": model.run_id}


def _encoders(report: Report) -> Iterator[Table]:
    specs = (report.encoders.audio, report.encoders.visual)
    names = ("Encoder", "Weights", "Layer", "Number format", "Picture seen", "Identity")
    rows = zip(names, *[_encoder(spec) for spec in specs], strict=True)
    device = ("Device", report.encoders.device, report.encoders.device)
    yield Table("Encoders", ("Sound", "Picture"), (*(row for row in rows if any(row[1:])), device))


def _encoder(spec: EncoderSpec | None) -> tuple[str, ...]:
    if spec is None:
        return ("none",) + ("",) * 5
    view = spec.view
    seen = "" if view is None else f"{view.crop} crop, {view.size_pixels} pixels, {view.rate_hz:g} per second"
    layer = str(spec.layer) if spec.weights else ""
    return (spec.name, spec.weights or "none needed", layer, spec.dtype, seen, spec.identity)


def _making(report: Report) -> dict[str, str]:
    zone = report.created.tzname()
    shown = report.thresholds
    return {
        "Time": report.created.strftime("%Y-%m-%d %H:%M:%S %z") + (f" ({zone})" if zone else ""),
        "Command": visible(shlex.join(report.command)),
        "Called forged from": f"clip score {score_text(report.verdict.forged_from)}",
        "Shown from": f"segment score {shown.display:.2f}",
        "Overlap": f"a better segment covering more than {shown.max_overlap:.0%} of the shorter hides the other",
    }
