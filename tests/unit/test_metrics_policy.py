"""What is done about predictions that are not as they should be, and thresholds that are chosen or given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.average_precision import average_precision
from iamsb_core.metrics.clip_lists import Contents
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.measure import DecisionThresholds
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.metrics.packed import pack
from iamsb_core.metrics.policy import DEFAULT_POLICY, Policy
from iamsb_core.metrics.protocols import ACTIVITYNET, AV_DEEPFAKE1M

NONE = np.empty((0, 3), dtype=np.float32)
UNSORTED = [[0, 4, 0.3], [0, 4, 0.9], [5, 6, 0.6]]
#  0    1    2    3    4    5    6   seconds     tiou with the truth
#  [===================)                          truth [0, 4)
#  0.3 [0, 4)                                     1: the first in the file takes the truth, as the officials read it
#  0.9 [0, 4)                                     1: the first by score takes it, once lists are sorted


def prediction(name: str, rows: list[list[float]], score: float = 0.5) -> ClipProposals:
    return ClipProposals(name, 8.0, NONE, NONE, np.asarray(rows, dtype=np.float32).reshape(-1, 3), score)


def clip(name: str, *truth: tuple[float, float], **known: object) -> ClipTruth:
    return ClipTruth(name, np.asarray(truth, dtype=float).reshape(-1, 2), **known)


LABELS = Labels((clip("f", (0, 4)), clip("g", (1, 2)), clip("r")))


def report(policy: Policy = DEFAULT_POLICY, **predictions: ClipProposals) -> MetricReport:
    return evaluate(LABELS, predictions, "av-deepfake1m", contents=Contents(streams=False), policy=policy)


def test_unsorted_lists():
    packed = pack([np.array([[0.0, 4.0]])], [np.array(UNSORTED)])
    assert average_precision(packed, candidates(packed, AV_DEEPFAKE1M), AV_DEEPFAKE1M, area="full")["0.5"] == 1.0
    as_is = pack([np.array([[0.0, 4.0]])], [np.array(UNSORTED)], Policy(unsorted="as-is"))
    # 0.3 is the hit and stands third in the ranking
    found = average_precision(as_is, candidates(as_is, AV_DEEPFAKE1M), AV_DEEPFAKE1M, area="full")
    assert found["0.5"] == pytest.approx(1 / 3)
    assert "read as they are" in as_is.warnings[0]
    with pytest.raises(ValueError, match=r"lists of 1 clips were not by falling score; .* unsorted='refuse'"):
        pack([np.empty((0, 2))], [np.array(UNSORTED)], Policy(unsorted="refuse"))


def test_activitynet_ranks_whatever_the_order_of_the_file():
    labels = Labels((clip("f", (0, 4)),))
    as_is = Policy(unsorted="as-is")
    scored = evaluate(labels, {"f": prediction("f", UNSORTED)}, ACTIVITYNET, policy=as_is)
    assert scored.ap["0.5"] == 1.0


@pytest.mark.parametrize(
    ("choice", "ap", "proposals", "told"),
    [
        ("count", 1 / 2, 2, "count as false positives"),
        ("leave-out", 1.0, 1, "left out"),
        ("turn", 1.0, 2, "exchanged"),  # it becomes the best hit of the truth
    ],
)
def test_inverted_segments(choice, ap, proposals, told):
    packed = pack([np.array([[0.0, 4.0]])], [np.array([[4, 0, 0.9], [0, 4, 0.3]])], Policy(inverted=choice))
    assert average_precision(packed, candidates(packed, ACTIVITYNET), ACTIVITYNET)["0.5"] == pytest.approx(ap)
    assert len(packed.proposals) == proposals
    assert "1 proposals end before they start" in packed.warnings[0]
    assert told in packed.warnings[0]
    with pytest.raises(ValueError, match="end before they start; mend the file"):
        pack([np.empty((0, 2))], [np.array([[4, 0, 0.9]])], Policy(inverted="refuse"))


def test_clips_without_a_prediction():
    hit = prediction("f", [[0, 4, 0.9]])
    counted = report(f=hit, r=prediction("r", []))
    assert (counted.ap_full["0.5"], counted.counts.clips) == (0.5, 3)
    assert any("count as having no proposals" in text for text in counted.warnings)
    left_out = report(Policy(missing="leave-out"), f=hit, r=prediction("r", []))
    assert (left_out.ap_full["0.5"], left_out.counts.clips) == (1.0, 2)
    assert any("1 of 3 clips have no prediction, such as g; they were left out" in text for text in left_out.warnings)
    with pytest.raises(ValueError, match="1 of 3 clips have no prediction, such as g"):
        report(Policy(missing="refuse"), f=hit, r=prediction("r", []))


def test_empty_lists_and_placeholders_are_clips_without_proposals():
    empty = report(f=prediction("f", [[0, 4, 0.9]]), g=prediction("g", []), r=prediction("r", []))
    placeholder = report(
        f=prediction("f", [[0, 4, 0.9]]), g=prediction("g", [[0, 0, 0]]), r=prediction("r", [[0, 0, 0]])
    )
    assert empty.ap == placeholder.ap
    assert empty.ar == placeholder.ar
    assert empty.warnings == ()
    assert placeholder.warnings == ("2 proposals have no length; they count as false positives",)


def test_nan_in_proposals_and_in_clip_scores():
    rows = [[0, 4, 0.9], [math.nan, 1, 0.8], [0, 1, math.inf]]
    everything = {"f": prediction("f", rows, math.nan), "g": prediction("g", []), "r": prediction("r", [], 0.2)}
    told = report(**everything).warnings
    assert "2 proposals hold NaN or an infinity; they were left out" in told
    assert "1 clips have a score of NaN; it counts as 0" in told
    with pytest.raises(ValueError, match=r"NaN or an infinity; mend the file, .* not_finite='refuse'"):
        pack([np.empty((0, 2))], [np.array(rows)], Policy(not_finite="refuse"))
    with pytest.raises(ValueError, match="1 clips have a score of NaN; mend the file"):
        report(Policy(not_finite="refuse"), **{**everything, "f": prediction("f", [], math.nan)})


def test_clips_labelled_as_a_whole_beside_others_count_for_detection_only():
    whole = ClipTruth("w", np.array([[0.0, math.inf]]), is_whole_clip=True)
    rows = prediction("w", [[0, 1, 0.99], [2, 3, 0.98]], 0.9)
    found = {"f": prediction("f", [[0, 4, 0.9]], 0.8), "r": prediction("r", [], 0.1), "w": rows}
    scored = evaluate(Labels((LABELS.clips[0], LABELS.clips[2], whole)), found, contents=Contents(streams=False))
    assert (scored.ap_full["0.5"], scored.counts.truths, scored.counts.proposals) == (1.0, 1, 1)
    assert (scored.counts.forged_clips, scored.auc) == (2, 1.0)
    assert "the labels are of whole clips, so there is no AP or AR of those 1 of 3" in scored.warnings


def test_cells_of_clips_whose_length_is_not_known_are_left_out():
    labels = Labels((clip("f", (0, 4), duration_seconds=8.0), clip("g", (1, 2))))
    found = {"f": prediction("f", [[0, 4, 0.9]]), "g": prediction("g", [])}
    scored = evaluate(labels, found, contents=Contents(streams=False), cells=True)
    assert scored.cell_auc == 1.0
    assert any("duration of 1 clips is not known" in text for text in scored.warnings)


# dev: genuine 0.1 and 0.3, forged 0.5 and 0.9; best anywhere between 0.3 and 0.5. test: 0.35 is forged and not caught
SPLIT = Labels(
    tuple(
        clip(name, *([(0, 4)] if forged else []), split=split)
        for name, forged, split in [
            ("a", False, "dev"), ("b", False, "dev"), ("c", True, "dev"), ("d", True, "dev"),
            ("e", True, "test"), ("f", True, "test"), ("g", False, "test"),
        ]
    )
)  # fmt: skip
SCORES = {"a": 0.1, "b": 0.3, "c": 0.5, "d": 0.9, "e": 0.35, "f": 0.7, "g": 0.2}
FOUND = {name: prediction(name, [[0, 4, score]], score) for name, score in SCORES.items()}


def test_a_threshold_chosen_on_one_split_and_used_on_another():
    contents = Contents(streams=False)
    chosen = DecisionThresholds.of_split(SPLIT, FOUND, contents, "dev")
    assert chosen.of == {"fused": pytest.approx(0.4)}
    decision = evaluate(SPLIT.split("test"), FOUND, contents=contents, thresholds=chosen).decision
    assert (decision.chosen_on, decision.threshold) == ("dev", pytest.approx(0.4))
    assert decision.accuracy == pytest.approx(2 / 3)
    assert (decision.hit_rate, decision.false_alarm_rate) == (0.5, 0.0)
    given = evaluate(SPLIT, FOUND, contents=contents, thresholds=DecisionThresholds.given(0.3)).decision
    assert (given.chosen_on, given.accuracy) == ("given", pytest.approx(6 / 7))  # b is called forged
    with pytest.raises(ValueError, match="no clip of split 'train' has both a label and a prediction"):
        DecisionThresholds.of_split(SPLIT, FOUND, contents, "train")
    silent = Contents(streams=False, clip_scores=False)
    assert DecisionThresholds.of_split(SPLIT, FOUND, silent, "dev").of == {}
    assert evaluate(SPLIT, FOUND, contents=silent, thresholds=DecisionThresholds.given(0.3)).decision is None
