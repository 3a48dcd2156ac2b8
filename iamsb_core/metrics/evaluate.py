"""From truth and predictions to a report, under a named protocol."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Manifest
from iamsb_core.metrics.clip_lists import EVERYTHING, Contents
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.measure import DecisionThresholds, Rules, measure_group, measure_slices
from iamsb_core.metrics.metric_report import GroupMetrics, MetricReport
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy, refused
from iamsb_core.metrics.protocols import Protocol, protocol
from iamsb_core.metrics.scores import challenge_score, ddl_final
from iamsb_core.metrics.slices import Slicing

log = logging.getLogger(__name__)


def evaluate(
    truth: Manifest | Labels,
    predictions: Mapping[str, ClipProposals],
    protocol_name: str | Protocol = "lavdf",
    *,
    contents: Contents = EVERYTHING,
    slice_by: Sequence[Slicing] = (),
    cells: bool = False,
    thresholds: DecisionThresholds | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> MetricReport:
    """Score predictions, by video_id, against every clip of the truth.

    What is done about predictions that are not as they should be is in `iamsb_core.metrics.policy`; each case is told
    in the report's warnings. `slice_by` adds the metrics of groups, `cells` the AUC over cells of 0.04 s (frames at
    25 fps), `thresholds` accuracy and error rates of clips. Raises ValueError for an unknown protocol, where no clip
    has a prediction, or where the policy refuses.
    """
    rules = Rules(
        protocol=protocol(protocol_name), policy=policy, contents=contents, cells=cells, thresholds=thresholds
    )
    labels = Labels.of_manifest(truth) if isinstance(truth, Manifest) else truth
    warnings = list(labels.warnings)
    labels = covered(labels, predictions, policy, warnings)
    _tell_what_cannot_be_scored(labels, predictions, rules, warnings)
    whole = measure_group(labels.clips, predictions, rules, warnings)
    score = challenge_score(whole.ap, whole.ar, rules.protocol.score)
    report = MetricReport(
        **{item.name: getattr(whole, item.name) for item in fields(GroupMetrics)},
        protocol=rules.protocol.name,
        score=score,
        final=ddl_final(whole.auc, score) if rules.protocol.score == "ddl-av" else None,
        slices={by: measure_slices(labels.clips, predictions, by, rules) for by in slice_by},
        policy=policy,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    for warning in report.warnings:
        log.warning("%s", warning)
    return report


def covered(labels: Labels, predictions: Mapping[str, ClipProposals], policy: Policy, warnings: list[str]) -> Labels:
    """The labels to score, by the policy on clips without a prediction, told in the warnings.

    Raises ValueError where the two have nothing in common, which is a mistake about names, or where the policy refuses.
    """
    known = {clip.video_id for clip in labels.clips}
    missing = [clip.video_id for clip in labels.clips if clip.video_id not in predictions]
    extra = [video_id for video_id in predictions if video_id not in known]
    if labels.clips and len(missing) == len(labels.clips):
        example = f", but the predictions are for {extra[0]!r} and such" if extra else ""
        raise ValueError(
            f"none of the {len(labels.clips)} clips has a prediction: the labels name {missing[0]!r}{example}; "
            "use the same video ids in both"
        )
    if extra:
        warnings.append(f"{len(extra)} predictions are for clips not in the labels, such as {extra[0]}; left out")
    if not missing:
        return labels
    what = f"{len(missing)} of {len(labels.clips)} clips have no prediction, such as {missing[0]}"
    if policy.missing == "refuse":
        raise refused(what, "missing")
    if policy.missing == "leave-out":
        warnings.append(f"{what}; they were left out of the score")
        return replace(labels, clips=tuple(clip for clip in labels.clips if clip.video_id in predictions))
    warnings.append(f"{what}; they count as having no proposals and a clip score of 0")
    return labels


def _tell_what_cannot_be_scored(
    labels: Labels, predictions: Mapping[str, ClipProposals], rules: Rules, warnings: list[str]
) -> None:
    whole = sum(clip.is_whole_clip for clip in labels.clips)
    if whole and rules.contents.segments:
        rest = "" if whole == len(labels.clips) else f" of those {whole} of {len(labels.clips)}"
        warnings.append(f"the labels are of whole clips, so there is no AP or AR{rest}")
    predicted = [clip.video_id for clip in labels.clips if clip.video_id in predictions]
    num = (
        sum(math.isnan(predictions[video_id].clip_score) for video_id in predicted) if rules.contents.clip_scores else 0
    )
    if num and rules.policy.not_finite == "refuse":
        raise refused(f"{num} clips have a score of NaN", "not_finite")
    if num:
        warnings.append(f"{num} clips have a score of NaN; it counts as 0")
    if rules.cells and (unknown := sum(clip.duration_seconds is None for clip in labels.clips)):
        warnings.append(f"the duration of {unknown} clips is not known; they are not part of the AUC of cells")
