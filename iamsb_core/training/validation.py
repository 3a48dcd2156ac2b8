"""Dev metrics of a system in training, and the one number by which the model that is kept is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from iamsb_core.data.dataset import ClipDataset
from iamsb_core.data.epochs import plain_batches
from iamsb_core.data.source import FeatureSource
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Manifest
from iamsb_core.metrics.calibration import Calibration
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.operating_point import clip_threshold, segment_threshold
from iamsb_core.systems.base import System
from iamsb_core.training.calibration import calibrate, calibration_errors
from iamsb_core.training.loop import SELECTION
from iamsb_core.training.predict import predict

DISPLAY_THRESHOLD = "threshold_display"
DECISION_THRESHOLD = "threshold_decision"
"""names of the metrics that hold a model's operating points"""
_MOST_BATCHES = 128
"""of 16 clips, from which scores are fitted"""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """One look at the dev split."""

    metrics: Mapping[str, float]
    calibration: Calibration


def validate(
    system: System[Any],
    source: FeatureSource,
    manifest: Manifest,
    *,
    window_seconds: float,
    device: torch.device | str = "cpu",
) -> Validation:
    """Metrics by name, such as `audio_ap_0.5`, and `selection`; and what the split says of the scores themselves.

    Selection is the mean, over the streams with truth and over the protocol's thresholds, of the whole area under
    the precision-recall curve: the official area is not monotone on as few segments as a dev split may hold. Where
    clips are labelled as a whole it is their AUC. What the system scores by is fitted to the split first.
    """
    dataset = ClipDataset(source, manifest.videos, window_seconds=window_seconds)
    system.fit_scores(batch.to(torch.device(device)) for batch in islice(plain_batches(dataset, 16, 0), _MOST_BATCHES))
    found = predict(system, source, manifest.videos, window_seconds=window_seconds, device=device)
    report = evaluate(manifest, found)
    points = operating_points(manifest, found)
    calibration = calibrate(manifest, found, points[DISPLAY_THRESHOLD])
    values = dict(flat_metrics(report)) | {SELECTION: selection(report)}
    return Validation(metrics=values | points | dict(calibration_errors(calibration)), calibration=calibration)


def selection(report: MetricReport) -> float:
    """Mean AP over the streams that have truth and over thresholds; the clip AUC where clips are labelled as a whole.

    0 where there is neither.
    """
    values = [ap for stream in report.streams.values() for ap in stream.ap_full.values() if ap is not None]
    return float(np.mean(values)) if values else (report.auc or 0.0)


def operating_points(manifest: Manifest, found: Mapping[str, ClipProposals]) -> dict[str, float]:
    """The thresholds that a report is made with unless its reader names others."""
    pairs = [
        (video.truth(m, duration_seconds=clip.duration_seconds), clip.of(m))
        for video, clip in ((video, found[video.video_id]) for video in manifest.videos)
        for m in STREAMS
    ]
    forged = np.array([video.is_forged for video in manifest.videos], dtype=bool)
    scores = np.array([found[video.video_id].clip_score for video in manifest.videos])
    return {
        DISPLAY_THRESHOLD: segment_threshold([truth for truth, _ in pairs], [proposals for _, proposals in pairs]),
        DECISION_THRESHOLD: clip_threshold(forged, scores),
    }


def flat_metrics(report: MetricReport) -> Iterator[tuple[str, float]]:
    """(name, value) of every number that a report has: `ap_0.5`, `ar_100`, `auc`, and the same of each stream."""
    for prefix, metrics in (("", report), *((f"{name}_", stream) for name, stream in report.streams.items())):
        for kind, values in (("ap", metrics.ap), ("ar", metrics.ar)):
            yield from ((f"{prefix}{kind}_{key}", value) for key, value in values.items() if value is not None)
        if metrics.auc is not None:
            yield f"{prefix}auc", metrics.auc
