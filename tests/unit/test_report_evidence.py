"""What the report says: which segments are shown, the verdict in words, the warnings, the published schema."""

from __future__ import annotations

import dataclasses
import json
import runpy
from datetime import datetime
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.report import Thresholds, document, schema
from iamsb_core.report.build import json_data
from iamsb_core.report.headline import clock, visible
from iamsb_core.report.media_warnings import is_still, media_warnings, silent_share
from iamsb_core.report.proposals import MAX_CURVE_CELLS, cleaned, overlap_shares, score_curve, thinned
from iamsb_core.report.write import report_json

case = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))
make_clip, make_proposals, make_report = case["make_clip"], case["make_proposals"], case["make_report"]


# 0    1    2    3    4    5   seconds
#      [====)                  0.9  shown
#      .[==).                  0.8  inside the first: hidden
#         .[====)              0.7  a tenth of it is covered: shown
#                     [====)   0.3  below the display threshold: hidden
def test_thinning_by_hand():
    proposals = np.array([[1, 2, 0.9], [1.2, 1.8, 0.8], [1.9, 2.9, 0.7], [4, 5, 0.3]])
    assert thinned(proposals, Thresholds()).tolist() == [[1, 2, 0.9], [1.9, 2.9, 0.7]]


seconds = st.floats(0, 20).map(lambda x: round(x, 2))
rows = st.lists(st.tuples(seconds, seconds, st.floats(0, 1)), max_size=40)


@given(rows)
@settings(deadline=None, max_examples=60)
def test_what_is_hidden_is_weak_or_covered_by_something_better(listed):
    thresholds = Thresholds(display=0.4, max_overlap=0.3)
    every = cleaned(np.array([(min(a, b), max(a, b), s) for a, b, s in listed]).reshape(-1, 3), 20.0)
    shown = thinned(every, thresholds)
    assert shown[:, 0].tolist() == sorted(shown[:, 0])
    for row in every:
        better = shown[shown[:, 2] >= row[2]]
        covered = (overlap_shares(row[:2], better[:, :2]) > thresholds.max_overlap).any()
        is_shown = (shown == row).all(axis=1).any()
        assert is_shown or covered or row[2] < thresholds.display or row[0] == row[1]
    for index, row in enumerate(shown):
        assert (overlap_shares(row[:2], np.delete(shown, index, axis=0)[:, :2]) <= thresholds.max_overlap).all()


def test_the_curve_is_the_best_score_of_each_cell():
    # cells of 20 ms:  0    1    2    3    4
    proposals = np.array([[0.081, 0.083, 0.9], [0.02, 0.06, 0.5], [0.0, 0.04, 0.2]])
    curve = score_curve(proposals, 0.1)
    assert curve.hop_seconds == 0.02
    assert curve.scores == (0.2, 0.5, 0.5, 0.0, 0.9)


@given(rows, st.floats(0.5, 2000))
@settings(deadline=None, max_examples=60)
def test_no_proposal_is_lost_from_the_curve(listed, duration_seconds):
    array = np.array([(min(a, b), max(a, b), s) for a, b, s in listed]).reshape(-1, 3)
    every = cleaned(array, duration_seconds)
    real = every[every[:, 1] > every[:, 0], 2]
    curve = score_curve(every, duration_seconds)
    assert max(curve.scores) == real.max(initial=0.0)
    assert len(curve.scores) <= MAX_CURVE_CELLS
    assert len(curve.scores) * curve.hop_seconds == pytest.approx(duration_seconds, abs=curve.hop_seconds)


def test_times_are_cut_to_the_clip_and_everything_is_kept():
    assert cleaned(np.array([[7.5, 9, 0.2], [-1, 0.1, 0.4]]), 8.0).tolist() == [[0, 0.1, 0.4], [7.5, 8, 0.2]]


@pytest.mark.parametrize(
    ("row", "message"), [([0, 1, 7.0], "apply a sigmoid"), ([0, np.nan, 0.5], "not finite"), ([0, 1, -0.2], "0, 1")]
)
def test_proposals_that_cannot_be_reported(row, message):
    with pytest.raises(ValueError, match=message):
        make_report(proposals=make_proposals(audio=[row]))


def test_a_fused_segment_names_the_streams_that_speak_for_it():
    proposals = make_proposals(audio=[[1, 2, 0.9], [5, 6, 0.8]], visual=[[1.1, 2, 0.7], [5, 6, 0.4], [3, 4, 0.6]])
    fused = make_report(proposals=proposals).lanes["fused"].segments
    assert [each.streams for each in fused] == [("audio", "visual"), ("visual",), ("audio",)]


def test_a_fused_segment_that_no_stream_reaches_names_the_likelier_one():
    weak = make_proposals(audio=[[1, 2, 0.4]], visual=[[1, 2, 0.3]])
    joint = dataclasses.replace(weak, fused=np.array([[1, 2, 0.8], [6, 7, 0.7]], dtype=np.float32))
    fused = make_report(proposals=joint).lanes["fused"].segments
    assert [each.streams for each in fused] == [("audio",), ()]


HALF = [[2.31, 2.94, 0.93]]
FOUR = [[0, 0.5, 0.6], [1, 1.5, 0.7], [2, 2.5, 0.95], [3, 3.5, 0.8]]


ONE = "Forged sound between 2.31 s and 2.94 s; "
TWO = "Forged picture at 0.00 to 0.50 s and 1.00 to 1.50 s; "
MANY = "Forged picture in 4 places, most surely between 2.00 s and 2.50 s; "
CLEAR = "No evidence of forgery in the sound or the picture"
DOUBT = "Not enough evidence to call it forged or to clear it; the clip's score, "
LOOK = ", though 1 stretch below would bear a look"
NOTHING = "Nothing to examine: the file has neither sound nor picture that can be read"


@pytest.mark.parametrize(
    ("audio", "visual", "score", "kinds", "said"),
    [
        (HALF, [], 0.9, {}, ONE + "no evidence against the picture"),
        (HALF, HALF, 0.9, {}, ONE + "forged picture between 2.31 s and 2.94 s"),
        (HALF, [], 0.9, {"picture": False}, ONE + "no picture to examine"),
        ([], FOUR[:2], 0.9, {"sound": False}, TWO + "no sound to examine"),
        ([], FOUR, 0.9, {}, MANY + "no evidence against the sound"),
        ([], [], 0.9, {}, "Forged (score 0.90), but no single stretch stands out"),
        ([], [], 0.1, {}, CLEAR),
        ([], [], 0.1, {"sound": False}, "No evidence of forgery in the picture; no sound to examine"),
        (HALF, [], 0.1, {}, DOUBT + "0.10, stays below 0.57" + LOOK),
        ([], [], 0.55, {}, DOUBT + "0.55, stays below 0.57"),
        ([], [], 0.9, {"sound": False, "picture": False}, NOTHING),
    ],
)
def test_the_verdict_in_words(audio, visual, score, kinds, said):
    verdict = make_report(make_clip(**kinds), make_proposals(audio, visual, score)).verdict
    assert verdict.summary == said
    first = {"Forged": "forged", "No ev": "no evidence of forgery"}
    assert verdict.decision == next((first[key] for key in first if said.startswith(key)), "not enough evidence")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.00 s"), (59.994, "59.99 s"), (59.996, "1:00.00"), (3725.5, "1:02:05.50")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_a_file_name_cannot_pass_for_another():
    assert visible("talk\u202egpj.mp4\n") == r"talk\u202egpj.mp4\u000a"
    assert visible("día 映画 नमस्ते 👩‍🎤.mp4") == "día 映画 नमस्ते 👩‍🎤.mp4"


CASES = {
    "plain": make_report,
    "no sound": lambda: make_report(make_clip(sound=False)),
    "no picture": lambda: make_report(make_clip(picture=False)),
    "neither": lambda: make_report(make_clip(sound=False, picture=False)),
    "nothing found": lambda: make_report(proposals=make_proposals([], [], 0.02)),
    "hostile name": lambda: make_report(media=case["HOSTILE_NAME"]),
    "undecodable name": lambda: make_report(media="a\udcff.mp4"),
    "many": lambda: make_report(proposals=make_proposals(many(400), many(300))),
}


def many(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    starts = rng.uniform(0, 7.9, number)
    return np.stack([starts, starts + rng.uniform(0.001, 0.2, number), rng.uniform(0, 1, number)], axis=1)


@pytest.mark.parametrize("name", CASES)
def test_every_report_meets_the_published_schema(name):
    report = CASES[name]()
    validator = jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker())
    validator.check_schema(schema())
    data = json.loads(report_json(report))
    validator.validate(data)
    assert data == json.loads(json.dumps(document(report)))
    assert data["num_proposals"] == {key: len(rows) for key, rows in data["proposals"].items()}


def test_the_schema_refuses_what_it_does_not_know():
    data = document(make_report())
    for wrong in ({**data, "extra": 1}, {**data, "version": 1}, {k: v for k, v in data.items() if k != "media"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())


def test_what_cannot_be_reported_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        make_report(created=datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match=r"clip's score.*2\.5"):
        make_report(proposals=make_proposals(clip_score=2.5))
    with pytest.raises(ValueError, match="nothing to report on"):
        make_report(dataclasses.replace(make_clip(), duration_seconds=0.0))
    with pytest.raises(ValueError, match="display threshold"):
        Thresholds(display=1.5)


def test_evidence_becomes_json_data():
    given_ = {"a": np.float32(0.5), "b": (1, np.inf), "c": np.arange(2), 3: None, "e": True}
    assert json_data(given_) == {"a": 0.5, "b": [1, None], "c": [0, 1], "3": None, "e": True}
    with pytest.raises(TypeError, match="set"):
        json_data({"a": {1, 2}})


def quiet(clip, share: float):
    waveform = clip.waveform.copy()
    waveform[: round(len(waveform) * share)] = 0
    return dataclasses.replace(clip, waveform=waveform)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (dataclasses.replace(make_clip(), waveform=None), ["sound was not examined"]),
        (dataclasses.replace(make_clip(), frames=None), ["picture was not examined"]),
        (quiet(make_clip(), 0.75), ["75% of the sound is silence"]),
        (make_clip(variable_frame_rate=True), ["frame rate varies (25.00"]),
        (dataclasses.replace(make_clip(), frames=np.full((200, 8, 8, 3), 9, np.uint8)), ["picture never changes"]),
        (
            dataclasses.replace(make_clip(), warnings=("the sound is cut short", "The sound is cut short.")),
            ["The sound"],
        ),
        (make_clip(), []),
    ],
)
def test_warnings(clip, words):
    said = media_warnings(clip)
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


def test_silence_and_stillness_by_hand():
    waveform = np.zeros(1600, dtype=np.float32)  # five blocks of 20 ms
    waveform[330] = 0.5
    assert silent_share(waveform) == pytest.approx(0.8)
    frames = np.zeros((5, 2, 2, 3), dtype=np.uint8)
    assert is_still(frames)
    frames[3, 0, 0, 0] = 40
    assert not is_still(frames)
