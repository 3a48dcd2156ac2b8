"""From truth and predictions to a report, under a named protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Manifest, stream_name
from iamsb_core.metrics.average_precision import areas, threshold_key, true_positive_ranks
from iamsb_core.metrics.average_recall import average_recall
from iamsb_core.metrics.clip_lists import EVERYTHING, ClipLists, Contents, clip_lists
from iamsb_core.metrics.detection import cell_auc, equal_error_rate, roc_auc
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.metric_report import Counts, MetricReport, StreamMetrics, Values
from iamsb_core.metrics.packed import Packed, pack
from iamsb_core.metrics.protocols import Protocol, protocol
from iamsb_core.metrics.scores import ddl_final, ddl_score, deepfakes_1m_score
from iamsb_core.metrics.slices import Slicing, groups_of

log = logging.getLogger(__name__)


def evaluate(
    truth: Manifest | Labels,
    predictions: Mapping[str, ClipProposals],
    protocol_name: str | Protocol = "lavdf",
    *,
    contents: Contents = EVERYTHING,
    slice_by: Sequence[Slicing] = (),
    cells: bool = False,
) -> MetricReport:
    """Score predictions, by video_id, against every clip of the truth.

    Policies, each with a warning in the report: a clip without a prediction counts as one with no proposals and a
    clip score of 0; a prediction for a clip that is not in the truth is left out; see `pack` for the lists.
    `slice_by` adds the fused metrics of groups of clips; `cells` adds the AUC over cells of 0.04 s, which takes
    about a millisecond a clip. Raises ValueError for an unknown protocol, or where no clip has a prediction.
    """
    rules = protocol(protocol_name)
    labels = Labels.of_manifest(truth) if isinstance(truth, Manifest) else truth
    warnings = list(labels.warnings)
    _check_coverage(labels, predictions, warnings)
    shared = {"segments": contents.segments and labels.has_segments, "cells": cells}
    if not labels.has_segments:
        warnings.append("the labels are of whole clips, so there is no AP or AR")
    fused = _measure(clip_lists(labels.clips, predictions, None, contents), rules, warnings, **shared)
    streams: dict[str, StreamMetrics] = {}
    if contents.streams and contents.segments and labels.has_streams:
        for stream in STREAMS:
            own: list[str] = []
            streams[stream_name(stream)] = _measure(
                clip_lists(labels.clips, predictions, stream, contents), rules, own, **shared
            )
            warnings += [f"{stream_name(stream)}: {text}" for text in own]
    slices: dict[str, dict[str, StreamMetrics]] = {
        by: {
            group: _measure(clip_lists(clips, predictions, None, contents), rules, [], **shared)
            for group, clips in groups_of(labels.clips, by).items()
        }
        for by in slice_by
    }
    score = _challenge_score(fused, rules)
    report = MetricReport(
        **{item.name: getattr(fused, item.name) for item in fields(StreamMetrics)},
        protocol=rules.name,
        score=score,
        final=ddl_final(fused.auc, score) if rules.score == "ddl-av" else None,
        streams=streams,
        slices=slices,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    for warning in report.warnings:
        log.warning("%s", warning)
    return report


def _check_coverage(labels: Labels, predictions: Mapping[str, ClipProposals], warnings: list[str]) -> None:
    """Raises ValueError where the two have nothing in common, which is a mistake about names."""
    known = {clip.video_id for clip in labels.clips}
    missing = [clip.video_id for clip in labels.clips if clip.video_id not in predictions]
    extra = [video_id for video_id in predictions if video_id not in known]
    if labels.clips and len(missing) == len(labels.clips):
        example = f", but the predictions are for {extra[0]!r} and such" if extra else ""
        raise ValueError(
            f"none of the {len(labels.clips)} clips has a prediction: the labels name {missing[0]!r}{example}; "
            "use the same video ids in both"
        )
    if missing:
        warnings.append(
            f"{len(missing)} of {len(labels.clips)} clips have no prediction, such as {missing[0]}; "
            "they count as having no proposals and a clip score of 0"
        )
    if extra:
        warnings.append(f"{len(extra)} predictions are for clips not in the labels, such as {extra[0]}; left out")


def _measure(scored: ClipLists, rules: Protocol, warnings: list[str], *, segments: bool, cells: bool) -> StreamMetrics:
    packed = pack(scored.truths, scored.proposals)
    warnings += packed.warnings
    forged = np.diff(packed.truth_offsets) > 0
    counts = Counts(
        clips=packed.num_clips,
        forged_clips=int(forged.sum()),
        truths=packed.num_truths,
        proposals=len(packed.proposals),
    )
    if segments and packed.num_truths == 0:
        warnings.append("no clip is forged, so there is no AP or AR")
    ap, ap_full, ar = _localisation(packed, rules, segments=segments)
    return StreamMetrics(
        ap=ap,
        ap_full=ap_full,
        ar=ar,
        auc=roc_auc(forged, scored.clip_scores) if scored.has_clip_scores else None,
        eer=equal_error_rate(forged, scored.clip_scores) if scored.has_clip_scores else None,
        cell_auc=cell_auc(_cells(scored)) if cells and segments else None,
        counts=counts,
    )


def _localisation(packed: Packed, rules: Protocol, *, segments: bool) -> tuple[Values, Values, Values]:
    """AP under the protocol's area, AP of the full area, AR; all None where there are no segments to score."""
    if not segments:
        nothing: Values = {threshold_key(threshold): None for threshold in rules.ap_tious}
        return nothing, nothing, {str(count): None for count in rules.ar_counts}
    found = candidates(packed, rules)
    ranks = true_positive_ranks(packed, found, rules)
    official, full = areas(ranks, packed.num_truths, rules.area), areas(ranks, packed.num_truths, "full")
    return official, full, average_recall(packed, found, rules)


def _cells(scored: ClipLists) -> Iterator[tuple[float, NDArray[np.floating], NDArray[np.floating]]]:
    """Clips of known duration for `cell_auc`."""
    for clip, truth, proposals in zip(scored.clips, scored.truths, scored.proposals, strict=True):
        if clip.duration_seconds is not None:
            yield clip.duration_seconds, truth, proposals[np.isfinite(proposals).all(axis=1)]


def _challenge_score(metrics: StreamMetrics, rules: Protocol) -> float | None:
    if rules.score is None:
        return None
    return (ddl_score if rules.score == "ddl-av" else deepfakes_1m_score)(metrics.ap, metrics.ar)
