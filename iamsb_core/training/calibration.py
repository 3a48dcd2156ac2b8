"""What the dev split says of a model's own scores: fitted beside the thresholds, kept in the model's card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.nms import hard_nms
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Manifest, Modality, VideoRecord, stream_name
from iamsb_core.metrics.calibration import Calibration, LaneCalibration, boundary_intervals, fit_score_map
from iamsb_core.metrics.operating_point import FalseAlarms, Misses, matches

BOUNDARY_COVERAGE = 0.9
"""of the interval around a segment's start, and of the one around its end"""
_LEAST_SHARE = 0.1
"""proposals below this share of the score that a report shows are left out of the maps: no report shows their like"""


@dataclass(frozen=True)
class _Cases:
    """Proposals after suppression, of every clip."""

    scores: NDArray[np.float64]
    meets: NDArray[np.bool_]
    clips: NDArray[np.int64]
    errors_seconds: NDArray[np.float64]
    """(N, 2): of the start and the end, where `meets`"""


def calibrate(manifest: Manifest, found: Mapping[str, ClipProposals], display_threshold: float) -> Calibration:
    """Score maps, boundary intervals and rates of errors from what a model found in a labelled split.

    Segments are calibrated on clips whose segments are known, clip scores on every labelled clip. The split chose the
    weights too, so that all of it is a little hopeful; more so the more often it chose.
    """
    videos = [video for video in manifest.videos if video.is_labelled]
    forged = np.array([video.is_forged for video in videos], dtype=bool)
    scores = np.array([found[video.video_id].clip_score for video in videos], dtype=np.float64)
    seconds = np.array([found[video.video_id].duration_seconds for video in videos], dtype=np.float64)
    lanes = {
        "fused" if modality is None else stream_name(modality): _lane(videos, found, modality, display_threshold)
        for modality in (*STREAMS, None)
    }
    return Calibration(
        **lanes,
        clip=fit_score_map(scores, forged, np.arange(len(videos))),
        false_alarms=FalseAlarms.of(scores[~forged], float(seconds[~forged].sum()) / 3600.0),
        misses=Misses.of(scores[forged]),
    )


def calibration_errors(calibration: Calibration) -> Iterator[tuple[str, float]]:
    """(name, value): the expected calibration error of each map before and after, such as `ece_clip_calibrated`."""
    maps = {name: calibration.lane(name).score_map for name in ("audio", "visual", "fused")}
    for name, fitted in {**maps, "clip": calibration.clip}.items():
        if fitted is not None:
            yield f"ece_{name}", fitted.ece_before
            yield f"ece_{name}_calibrated", fitted.ece_after


def _lane(
    videos: Sequence[VideoRecord], found: Mapping[str, ClipProposals], modality: Modality | None, display: float
) -> LaneCalibration:
    pieces = [
        _clip_cases(place, video, found[video.video_id], modality)
        for place, video in enumerate(videos)
        if video.label == "segments"
    ]
    empty = _Cases(np.empty(0), np.empty(0, dtype=bool), np.empty(0, dtype=np.int64), np.empty((0, 2)))
    scores, meets, clips, errors = (
        np.concatenate([getattr(piece, name) for piece in (empty, *pieces)])
        for name in ("scores", "meets", "clips", "errors_seconds")
    )
    mapped, shown = scores >= _LEAST_SHARE * display, scores >= display
    return LaneCalibration(
        score_map=fit_score_map(scores[mapped], meets[mapped], clips[mapped]),
        boundaries=boundary_intervals(errors[shown & meets], BOUNDARY_COVERAGE),
    )


def _clip_cases(place: int, video: VideoRecord, clip: ClipProposals, modality: Modality | None) -> _Cases:
    truth = video.truth(modality, duration_seconds=clip.duration_seconds)
    proposals = hard_nms(clip.of(modality))
    met = matches(truth, proposals)
    errors = np.zeros((len(proposals), 2))
    errors[met >= 0] = proposals[met >= 0, :2] - truth[met[met >= 0]]
    return _Cases(proposals[:, 2].astype(np.float64), met >= 0, np.full(len(proposals), place), errors)
