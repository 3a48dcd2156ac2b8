"""From a file of labels and a file of predictions to a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.label_files import read_labels
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.prediction_files import PredictionFile, read_predictions
from iamsb_core.metrics.protocols import Protocol, protocol
from iamsb_core.metrics.slices import Slicing

__all__ = ["read_labels", "read_predictions", "score"]


def score(
    labels_path: Path | str,
    predictions_path: Path | str,
    protocol_name: str | Protocol,
    *,
    detection_path: Path | str | None = None,
    split: str | None = None,
    slice_by: Sequence[Slicing] = (),
    cells: bool = False,
) -> MetricReport:
    """The report of one prediction file under a protocol; see `evaluate` for the policies.

    detection_path names a text file of clip scores to go with a file of segments (AUC, and DDL-AV's Final). A split
    that the labels have and of which no clip is predicted is left out, with a warning, unless `split` names one.
    """
    rules = protocol(protocol_name)
    labels = read_labels(labels_path)
    found = read_predictions(predictions_path, file_hz=rules.file_hz)
    if detection_path is not None:
        found = _with_clip_scores(found, read_predictions(detection_path), detection_path)
    labels = _predicted_splits(labels, found.clips) if split is None else _named_split(labels, split, labels_path)
    labels = replace(labels, warnings=(*labels.warnings, *found.warnings))
    return evaluate(labels, found.clips, rules, contents=found.contents, slice_by=slice_by, cells=cells)


def _with_clip_scores(segments: PredictionFile, scores: PredictionFile, path: Path | str) -> PredictionFile:
    if not scores.contents.clip_scores:
        raise ValueError(f"{path} holds no clip scores; give a text file with a line `file;score` for each clip")
    clips = dict(scores.clips) | {
        video_id: replace(clip, clip_score=scores.clips[video_id].clip_score if video_id in scores.clips else 0.0)
        for video_id, clip in segments.clips.items()
    }
    missing = sum(video_id not in scores.clips for video_id in segments.clips)
    warnings = (f"{missing} clips with segments have no clip score; it counts as 0",) if missing else ()
    return PredictionFile(
        clips, replace(segments.contents, clip_scores=True), (*segments.warnings, *scores.warnings, *warnings)
    )


def _named_split(labels: Labels, split: str, path: Path | str) -> Labels:
    chosen = labels.split(split)
    if not chosen.clips:
        there = sorted({clip.split or "(none)" for clip in labels.clips})
        raise ValueError(f"{path} has no clip of split {split!r}; its splits are {', '.join(there)}")
    return chosen


def _predicted_splits(labels: Labels, predictions: Mapping[str, ClipProposals]) -> Labels:
    """Without the splits of which nothing is predicted: a metadata file lists all, a prediction file mostly one."""
    predicted = {clip.split for clip in labels.clips if clip.video_id in predictions}
    kept = tuple(clip for clip in labels.clips if clip.split in predicted)
    if not kept or len(kept) == len(labels.clips):
        return labels
    dropped = sorted({str(clip.split) for clip in labels.clips} - {str(split) for split in predicted})
    warning = f"no clip of split {', '.join(dropped)} is predicted; it was left out of the score"
    return replace(labels, clips=kept, warnings=(*labels.warnings, warning))
