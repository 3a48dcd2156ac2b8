"""The verdict on a clip: three answers, what they rest on, and probabilities and intervals of its segments."""

from __future__ import annotations

import dataclasses
import math
import runpy
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.metrics.operating_point import FalseAlarms, Misses
from iamsb_core.report import Thresholds, document, schema
from iamsb_core.report.headline import percent
from iamsb_core.report.verdict import score_text, verdict

case = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))
make_clip, make_proposals, make_report = case["make_clip"], case["make_proposals"], case["make_report"]
make_calibration = case["make_calibration"]
FOUND = [[2.31, 2.94, 0.93]]


def judged(score: float, audio=(), **changes):
    return make_report(proposals=make_proposals(list(audio), [], score), **changes).verdict


#  decision threshold .5; 40 h of 500 genuine clips, uniform up to .6: at one alarm an hour 29 of them may reach .566
def test_three_answers_by_hand() -> None:
    assert judged(0.57).decision == "forged"
    assert judged(0.56).decision == "not enough evidence"
    assert judged(0.5).decision == "not enough evidence"
    assert judged(0.49).decision == "no evidence of forgery"
    assert judged(0.49, FOUND).decision == "not enough evidence"


def test_what_the_verdict_rests_on_by_hand() -> None:
    alarms = judged(0.9).false_alarms
    # the limit of a Poisson mean of which 29 were seen is 39.54; of 30, 40.69
    assert alarms.num_false_alarms == 29
    assert alarms.limit_per_hour == pytest.approx(39.54 / 40, abs=1e-3)
    assert alarms.lowest_per_hour == pytest.approx(3.0 / 40, abs=1e-3)
    assert alarms.supported
    assert alarms.this_file == pytest.approx(1 - math.exp(-39.54 / 40 * 8 / 3600), abs=1e-5)


def test_a_stricter_target_is_met_by_a_higher_score() -> None:
    strict, lax = judged(0.9, false_alarms_per_hour=0.1), judged(0.9, false_alarms_per_hour=10.0)
    assert strict.forged_from > judged(0.9).forged_from > lax.forged_from
    assert strict.false_alarms.limit_per_hour <= 0.1
    assert lax.forged_from == 0.5  # the target only ever raises the decision threshold


def test_a_target_beyond_the_dev_split_is_said_to_be() -> None:
    few = make_calibration(genuine_hours=0.05)
    found = judged(0.9, calibration=few)
    assert not found.false_alarms.supported
    assert found.forged_from == pytest.approx(0.600001)  # above every genuine clip
    assert found.false_alarms.lowest_per_hour == pytest.approx(3.0 / 0.05, abs=0.1)
    said = " ".join(found.reasons)
    assert "needs 3.0 hours of genuine dev video" in said
    assert "500 genuine dev clips (3.0 minutes), none of which scores as high" in said


def test_without_a_calibration_the_threshold_alone_counts() -> None:
    found = make_report(calibration=None, proposals=make_proposals(FOUND, [], 0.51))
    assert (found.verdict.decision, found.verdict.forged_from) == ("forged", 0.5)
    assert found.verdict.false_alarms is found.verdict.misses is found.verdict.calibrated_score is None
    assert "not known: the model's card tells of no genuine dev clips" in " ".join(found.verdict.reasons)
    segment = found.lanes["audio"].segments[0]
    assert segment.calibrated_score is segment.start_interval_seconds is segment.end_interval_seconds is None
    jsonschema.validate(document(found), schema())


def test_a_reader_who_names_the_threshold_is_taken_at_their_word() -> None:
    found = judged(0.31, thresholds=Thresholds(decision=0.3), false_alarms_per_hour=None)
    assert found.decision == "forged"
    assert "named by whoever asked" in " ".join(found.reasons)


def test_dev_splits_without_one_of_the_kinds() -> None:
    genuine_only = dataclasses.replace(make_calibration(), misses=Misses.of(np.empty(0)))
    assert judged(0.9, calibration=genuine_only).misses is None
    forged_only = dataclasses.replace(make_calibration(), false_alarms=FalseAlarms.of(np.empty(0), 0.0))
    assert judged(0.9, calibration=forged_only).false_alarms is None


def test_what_proves_nothing_is_never_called_forged() -> None:
    clip = make_clip()
    silent = dataclasses.replace(clip, waveform=np.zeros_like(clip.waveform))
    still = dataclasses.replace(silent, frames=np.repeat(clip.frames[:1], len(clip.frames), axis=0))
    found = make_report(still, make_proposals(clip_score=0.99)).verdict
    assert found.decision == "not enough evidence"
    assert "nothing in the file is fit to be examined" in found.summary
    assert found.reasons[:2] == (
        "The sound is silent, so it proves nothing.",
        "The picture never changes, so it proves nothing.",
    )
    assert make_report(silent, make_proposals(clip_score=0.99)).verdict.decision == "forged"  # the picture is left
    small = make_clip(sound=False, width=1, height=1)
    assert make_report(small, make_proposals(clip_score=0.99)).verdict.decision == "not enough evidence"


def test_intervals_and_probabilities_by_hand() -> None:
    report = make_report(proposals=make_proposals([[0.03, 7.95, 0.5]], FOUND, 0.9))
    sound, picture = report.lanes["audio"].segments[0], report.lanes["visual"].segments[0]
    assert sound.start_interval_seconds == (0.0, 0.09)  # 0.03 -/+ 0.06, cut to the clip
    assert sound.end_interval_seconds == (7.84, 8.0)
    assert sound.calibrated_score == pytest.approx(1 / (1 + math.exp(0.2)), abs=1e-6)  # logit(.5) = 0, intercept -.2
    assert picture.start_interval_seconds is picture.calibrated_score is None
    data = document(report)
    assert data["segments"]["audio"][0]["score"] == 0.5
    assert data["calibration"]["segments"]["visual"] is None
    assert data["calibration"]["boundaries"]["visual"]["coverage"] is None
    assert data["calibration"]["boundaries"]["visual"]["num_segments"] == 3
    assert data["calibration"]["segments"]["audio"]["ece_after"] == 0.03


ORDER = {"no evidence of forgery": 0, "not enough evidence": 1, "forged": 2}
NOTHING_SHOWN = {"audio": make_report(proposals=make_proposals([], [], 0.0)).lanes["audio"], "visual": None}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.02, 500), st.floats(0.1, 200))
@settings(deadline=None, max_examples=40)
def test_a_higher_score_never_sounds_less_sure(one, other, target, hours):
    lanes = {**NOTHING_SHOWN, "fused": NOTHING_SHOWN["audio"]}
    low, high = (
        verdict(
            score,
            Thresholds(),
            lanes,
            duration_seconds=8.0,
            calibration=make_calibration(genuine_hours=hours),
            target_per_hour=target,
        )
        for score in sorted((one, other))
    )
    assert ORDER[low.decision] <= ORDER[high.decision]
    assert low.forged_from == high.forged_from
    assert low.calibrated_score <= high.calibrated_score
    assert (high.decision == "forged") == (high.clip_score >= high.forged_from)


def test_a_target_must_be_a_rate() -> None:
    with pytest.raises(ValueError, match="above 0 false alarms"):
        make_report(false_alarms_per_hour=0.0)


@pytest.mark.parametrize(
    ("score", "text"), [(0.5, "0.50"), (0.0018, "0.002"), (0.99996, "0.99996"), (1.0, "1.00"), (0.0, "0.00")]
)
def test_scores_in_words_are_not_rounded_away(score, text):
    assert score_text(score) == text


def test_no_probability_is_told_as_certain() -> None:
    assert [percent(p) for p in (0.001, 0.005001, 0.5, 0.9949, 0.996)] == ["below 1%", "1%", "50%", "99%", "above 99%"]


def objects(node):
    """Every schema of an object inside a schema, with the keys that lead there."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for inner in node.values():
            yield from objects(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from objects(inner)


def test_the_schema_is_closed() -> None:
    """Only the names of packages and the system's own evidence are open, and nothing may be left out."""
    free = [one for one in objects(schema()) if one.get("additionalProperties") is not False]
    assert [one["description"].split(" ")[0] for one in free] == ["Version", "Why,"]
    for one in objects(schema()):
        assert one in free or set(one["required"]) == set(one["properties"])
