"""From files of labels and files of predictions to a report, or to a comparison of two systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Modality, stream_name
from iamsb_core.metrics.bootstrap import Difference, Interval, bootstrap, paired_bootstrap
from iamsb_core.metrics.clip_lists import Contents
from iamsb_core.metrics.evaluate import covered, evaluate
from iamsb_core.metrics.label_files import join_labels, read_labels
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.measure import FUSED, DecisionThresholds
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy
from iamsb_core.metrics.prediction_files import PredictionFile, read_predictions
from iamsb_core.metrics.protocols import Protocol, protocol
from iamsb_core.metrics.slices import Slicing, telling

__all__ = ["BEST_PROPOSAL", "Scoring", "read_labels", "read_predictions", "score"]

BEST_PROPOSAL = "best-proposal"
"""instead of a file of clip scores: a clip is as forged as its best proposal says"""

Paths = Path | str | Sequence[Path | str]


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Labels and predictions as they were read, to be scored under one protocol."""

    labels: Labels
    """of the clips to score"""
    every_split: Labels
    """of all clips of the files, to choose a threshold on another split"""
    predictions: Mapping[str, ClipProposals]
    contents: Contents
    protocol: Protocol
    policy: Policy

    @classmethod
    def read(
        cls,
        labels: Paths,
        predictions: Paths,
        protocol_name: str | Protocol,
        *,
        detection: Path | str | None = None,
        split: str | None = None,
        file_hz: float | None = None,
        policy: Policy = DEFAULT_POLICY,
    ) -> Scoring:
        """Read files; several of a kind are joined.

        Times of plain prediction files are in units of 1 / file_hz seconds; None means as the protocol's own files
        are (`lavdf` in frames at 25 Hz, the others in seconds).

        detection names a text file of clip scores to go with files of segments (AUC, and DDL-AV's Final), or is
        `best-proposal`. A split that the labels have and of which no clip is predicted is left out, with a warning,
        unless `split` names one.
        """
        rules = protocol(protocol_name)
        hz = rules.file_hz if file_hz is None else file_hz
        if not hz > 0:
            raise ValueError(f"times are in units of 1 / file_hz seconds, so it must be above 0, got {hz}")
        every = join_labels([read_labels(path) for path in _several(labels)])
        files = [read_predictions(path, file_hz=hz, policy=policy) for path in _several(predictions)]
        found = _joined(files)
        if detection == BEST_PROPOSAL:
            found = replace(found, contents=replace(found.contents, clip_scores=True))
        elif detection is not None:
            found = _with_clip_scores(found, read_predictions(detection), detection)
        chosen = _predicted_splits(every, found.clips) if split is None else _named_split(every, split)
        return cls(
            labels=replace(chosen, warnings=(*chosen.warnings, *found.warnings)),
            every_split=every,
            predictions=found.clips,
            contents=found.contents,
            protocol=rules,
            policy=policy,
        )

    def report(
        self,
        *,
        slice_by: Sequence[Slicing] | None = (),
        cells: bool = False,
        thresholds: DecisionThresholds | None = None,
    ) -> MetricReport:
        """The metrics; slice_by None means every slicing that the labels can tell."""
        return evaluate(
            self.labels,
            self.predictions,
            self.protocol,
            contents=self.contents,
            slice_by=telling(self.labels.clips) if slice_by is None else slice_by,
            cells=cells,
            thresholds=thresholds,
            policy=self.policy,
        )

    def thresholds_of_split(self, split: str) -> DecisionThresholds:
        """Thresholds of the best accuracy on a split; raises ValueError where that split is not predicted."""
        return DecisionThresholds.of_split(self.every_split, self.predictions, self.contents, split)

    def intervals(self, num_replicates: int, rng: np.random.Generator) -> dict[str, dict[str, Interval]]:
        """95 % intervals over clips, by `fused`, `audio` and `visual`, and by metric."""
        return {
            name: bootstrap(
                covered(self.labels, self.predictions, self.policy, []),
                self.predictions,
                self.protocol,
                rng=rng,
                modality=modality,
                num_replicates=num_replicates,
                contents=self.contents,
                policy=self.policy,
            )
            for name, modality in self._parts(self.contents).items()
        }

    def differences(
        self, other: Scoring, num_replicates: int, rng: np.random.Generator
    ) -> dict[str, dict[str, Difference]]:
        """This less the other, on the same draws of the same clips; of what both files say.

        The clips are those of this one's labels; one that either does not predict is dealt with by the policy. Raises
        ValueError where the two were read under two protocols.
        """
        if self.protocol != other.protocol:
            raise ValueError(f"{self.protocol.name} and {other.protocol.name} are two protocols; compare under one")
        both = Contents(
            segments=self.contents.segments and other.contents.segments,
            streams=self.contents.streams and other.contents.streams,
            clip_scores=self.contents.clip_scores and other.contents.clip_scores,
        )
        labels = covered(covered(self.labels, self.predictions, self.policy, []), other.predictions, self.policy, [])
        return {
            name: paired_bootstrap(
                labels,
                self.predictions,
                other.predictions,
                self.protocol,
                rng=rng,
                modality=modality,
                num_replicates=num_replicates,
                contents=both,
                policy=self.policy,
            )
            for name, modality in self._parts(both).items()
        }

    def _parts(self, contents: Contents) -> dict[str, Modality | None]:
        streams = STREAMS if contents.streams and contents.segments and self.labels.has_streams else ()
        return {FUSED: None, **{stream_name(stream): stream for stream in streams}}


def score(
    labels_path: Paths,
    predictions_path: Paths,
    protocol_name: str | Protocol,
    *,
    detection_path: Path | str | None = None,
    split: str | None = None,
    slice_by: Sequence[Slicing] = (),
    cells: bool = False,
    policy: Policy = DEFAULT_POLICY,
) -> MetricReport:
    """The report of one prediction file under a protocol; see `Scoring.read`, and `evaluate` for the policies."""
    both = Scoring.read(
        labels_path, predictions_path, protocol_name, detection=detection_path, split=split, policy=policy
    )
    return both.report(slice_by=slice_by, cells=cells)


def _several(paths: Paths) -> list[Path | str]:
    return [paths] if isinstance(paths, Path | str) else list(paths)


def _joined(files: Sequence[PredictionFile]) -> PredictionFile:
    """Several files as one, which says only what all of them say. Raises ValueError where two name the same clip."""
    if len(files) == 1:
        return files[0]
    clips = {name: clip for file in files for name, clip in file.clips.items()}
    twice = sum(len(file.clips) for file in files) - len(clips)
    if twice:
        raise ValueError(f"{twice} clips are predicted in more than one of the files; give each clip once")
    contents = Contents(
        segments=all(file.contents.segments for file in files),
        streams=all(file.contents.streams for file in files),
        clip_scores=all(file.contents.clip_scores for file in files),
    )
    return PredictionFile(clips, contents, tuple(text for file in files for text in file.warnings))


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


def _named_split(labels: Labels, split: str) -> Labels:
    chosen = labels.split(split)
    if not chosen.clips:
        there = sorted({clip.split or "(none)" for clip in labels.clips})
        raise ValueError(f"the labels have no clip of split {split!r}; their splits are {', '.join(there)}")
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
