"""What probing the files told, held against what the dataset says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from iamsb_core.datasets.checks.columns import Columns
from iamsb_core.datasets.checks.findings import Finding, Kind, Severity, counted, finding
from iamsb_core.datasets.checks.segments import TOLERANCE_SECONDS
from iamsb_core.datasets.published import Published
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.media.clip import DecodeError, MediaProbe

Probes = Mapping[str, MediaProbe | DecodeError]
"""by video_id: what a file holds, or why it cannot be used"""

CUT_SHORT_SECONDS = 0.25
"""how much earlier than the clip its picture may end"""
_FRAME_RATE_TOLERANCE = 0.005
"""relative: 24.97 passes for 25, 24 does not"""

_ADVICE: dict[Kind, tuple[Severity, str, str]] = {
    "frames_disagree": (
        "warning",
        "{} another number of video frames than the stated duration asks for",
        "frames were dropped or added when the files were converted: fetch the original files",
    ),
    "frame_rate_disagrees": (
        "warning",
        "{} another frame rate than the published",
        "the files were converted; truth in seconds still holds, truth in frames does not",
    ),
    "varying_frame_rate": (
        "note",
        "{} frames of varying length",
        "nothing need be done: frames are taken by their times, not by their numbers",
    ),
    "stream_cut_short": (
        "warning",
        "{} a picture that ends well before the clip",
        "the rest of such a clip is sound alone: fetch the files again if that is not meant",
    ),
    "stream_absent": (
        "warning",
        "{} no stream of a kind that the truth says was forged",
        "that truth cannot be learned or found: fetch the files again, or correct the truth",
    ),
    "no_sound": ("note", "{} no sound", "nothing need be done: their picture is used alone"),
    "no_picture": ("note", "{} no picture", "nothing need be done: their sound is used alone"),
}


def check_media(columns: Columns, probes: Probes, published: Published | None) -> Iterator[Finding]:
    """Files that cannot be used, by cause, and files that are not what the dataset says."""
    bad: dict[str, list[tuple[str, str]]] = defaultdict(list)
    odd: dict[Kind, list[tuple[str, str]]] = defaultdict(list)
    for video in columns.videos:
        probe = probes.get(video.video_id)
        if isinstance(probe, DecodeError):
            bad[probe.kind].append((video.video_id, str(probe)))
        elif probe is not None:
            for kind, text in _oddities(video, probe, published):
                odd[kind].append((video.video_id, f"{video.video_id}: {text}"))
    bad.pop("missing", None)  # looking at the folder has told of those
    for cause, places in sorted(bad.items()):
        message = f"{counted(len(places), 'file')} cannot be used: {cause.replace('-', ' ')}"
        advice = "fetch the files again; they are left out of features, training and scores"
        yield finding("warning", "bad_media", message, advice, places, count=len(places))
    for kind, (severity, message, advice) in _ADVICE.items():
        if kind in odd:
            places = odd[kind]
            what = message.format(counted(len(places), "file has", "files have"))
            yield finding(severity, kind, what, advice, places, count=len(places))


def _oddities(video: VideoRecord, probe: MediaProbe, published: Published | None) -> Iterator[tuple[Kind, str]]:
    rate = None if published is None else published.frame_rate_hz
    other_rate = rate is not None and abs(probe.average_fps / rate - 1) > _FRAME_RATE_TOLERANCE
    yield from _lengths(video, probe, probe.average_fps if rate is None or other_rate else rate)
    if probe.num_video_frames and other_rate:
        yield "frame_rate_disagrees", f"{probe.average_fps:.3f} frames a second, published are {rate:g}"
    if probe.variable_frame_rate:
        yield "varying_frame_rate", f"{probe.num_video_frames} frames of varying length"
    forged = video.forged_streams
    for forgery in video.forgeries:
        forged |= forgery.modality
    yield from _absent_streams(video, forged, probe)


def _absent_streams(video: VideoRecord, forged: Modality, probe: MediaProbe) -> Iterator[tuple[Kind, str]]:
    streams: tuple[tuple[Modality, int, str, Kind], ...] = (
        (Modality.AUDIO, probe.num_audio_streams, "sound", "no_sound"),
        (Modality.VISUAL, probe.num_video_streams, "picture", "no_picture"),
    )
    for stream, number, word, kind in streams:
        if number == 0 and forged & stream and video.streams_told_apart:
            yield "stream_absent", f"the {word} is said to be forged, and the file has none"
        elif number == 0:
            yield kind, f"the file has no {word}"


def _lengths(video: VideoRecord, probe: MediaProbe, rate_hz: float) -> Iterator[tuple[Kind, str]]:
    if not probe.num_video_frames or probe.average_fps <= 0:
        return
    stated = video.duration_seconds
    if stated is not None and abs(stated - nearest_seconds(stated, probe)) <= TOLERANCE_SECONDS:
        wanted = round(stated * rate_hz)
        if abs(wanted - probe.num_video_frames) > 1:
            found = f"{probe.num_video_frames} frames"
            yield "frames_disagree", f"{found}, {wanted} make {stated:.3f} s at {rate_hz:.5g} a second"
    picture = probe.num_video_frames / probe.average_fps
    if probe.duration_seconds - picture > CUT_SHORT_SECONDS:
        yield "stream_cut_short", f"the picture lasts {picture:.3f} s, the clip {probe.duration_seconds:.3f} s"


def nearest_seconds(stated: float | None, probe: MediaProbe) -> float:
    """How long the file lasts, or its picture alone where that is what was stated: sound is often padded."""
    whole = probe.duration_seconds
    if stated is None or probe.average_fps <= 0:
        return whole
    picture = probe.num_video_frames / probe.average_fps
    return picture if abs(picture - stated) < abs(whole - stated) else whole


def check_durations(columns: Columns, decoded_seconds: NDArray[np.float64]) -> Iterator[Finding]:
    """decoded_seconds: (N,) what the files told, NaN where they were not asked."""
    stated = columns.durations_seconds
    rows = np.flatnonzero(np.abs(stated - decoded_seconds) > TOLERANCE_SECONDS)
    if not len(rows):
        return

    def instances() -> Iterator[tuple[str, str]]:
        for row in rows.tolist():
            name = columns.videos[row].video_id
            yield name, f"{name}: stated are {stated[row]:.3f} s, the file lasts {decoded_seconds[row]:.3f} s"

    message = f"{counted(len(rows), 'file has', 'files have')} another duration than the dataset states"
    advice = "segments may lie elsewhere than they say: fetch the original files, or correct the durations"
    yield finding("warning", "duration_disagrees", message, advice, instances(), count=len(rows))
