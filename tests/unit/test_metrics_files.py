"""Prediction files: every format, every fault of one, and scoring them against labels."""

from __future__ import annotations

import gzip
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lavdf_labels import LAVDF_ENTRY, save

from iamsb_core.metrics.fast_json import read_plain_rows
from iamsb_core.metrics.files import Scoring, read_predictions, score

# --- predictions ---


def test_plain_predictions_in_seconds_and_in_frames(tmp_path):
    path = save(tmp_path / "p.json", {"a.mp4": [[0.9, 25, 50], [0.5, 0, 12.5]], "b.mp4": [], "c.mp4": [[]]})
    found = read_predictions(path)
    np.testing.assert_array_equal(found.clips["a.mp4"].fused, np.float32([[25, 50, 0.9], [0, 12.5, 0.5]]))
    assert found.clips["a.mp4"].clip_score == pytest.approx(0.9)
    assert [len(found.clips[name].fused) for name in ("b.mp4", "c.mp4")] == [0, 0]
    assert not found.contents.streams
    assert not found.contents.clip_scores
    np.testing.assert_array_equal(read_predictions(path, file_hz=25).clips["a.mp4"].fused[0, :2], [1, 2])


def test_predictions_out_of_order_with_nan_null_and_doubles_are_mended_and_told(tmp_path):
    text = '{"a": [[0.1, 0, 1], [0.9, 2, 3]], "b": [[NaN, 0, 1], [null, 1, 2], [0.5, 1, 2]], "c": [[0.5, 3, 2]]}'
    found = read_predictions(save(tmp_path / "p.json", text))
    np.testing.assert_array_equal(found.clips["a"].fused[:, 2], np.float32([0.9, 0.1]))
    assert len(found.clips["b"].fused) == 1
    told = " ".join(found.warnings)
    assert "2 proposals hold NaN" in told
    assert "lists of 1 clips were not by falling score" in told
    assert "1 proposals end before they start" in told
    doubled = read_predictions(save(tmp_path / "d.json", '{"a": [[0.1, 0, 1]], "a": [[0.2, 0, 1]]}'))
    assert doubled.clips["a"].clip_score == pytest.approx(0.2)
    assert "listed twice" in doubled.warnings[0]


def own(**clips: dict[str, Any]) -> dict[str, Any]:
    return {"format": "iamsb-predictions-v1", "model": "m", "predictions": clips}


def test_our_own_predictions(tmp_path):
    entry = {
        "duration_seconds": 8.0,
        "clip_score": 0.7,
        "audio": [[0.9, 1, 2]],
        "visual": [],
        "fused": [[0.9, 1, 2]],
        "evidence": {"budget": 3},
    }
    document = own(a=entry)
    path = tmp_path / "p.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    found = read_predictions(path, file_hz=25)  # ours are in seconds under every protocol
    np.testing.assert_array_equal(found.clips["a"].audio, np.float32([[1, 2, 0.9]]))
    assert len(found.clips["a"].visual) == 0
    assert (found.clips["a"].clip_score, found.clips["a"].duration_seconds) == (0.7, 8.0)
    assert found.clips["a"].evidence == {"budget": 3}
    assert found.contents.streams


def test_detection_lines(tmp_path):
    found = read_predictions(save(tmp_path / "p.txt", "a.mp4;0.9\n\nb c.mp4;nan\na.mp4;0.8\n"))
    assert found.clips["a.mp4"].clip_score == 0.8
    assert math.isnan(found.clips["b c.mp4"].clip_score)
    assert len(found.warnings) == 1
    assert not found.contents.segments
    assert read_predictions(save(tmp_path / "d.txt", "000001.mp4,0.9931")).clips["000001.mp4"].clip_score == 0.9931


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [[0.9, 1, 2]', "not valid JSON"),
        ("[[0.9, 1, 2]]", "must be an object"),
        ('{"a": [[0.9, 1]]}', r"'a' must be a list of \[score, start, end\]"),
        ('{"a": [[0.9, 1], [1, 2, 3, 4]]}', r"'a' must be a list of \[score, start, end\]"),
        ('{"a": [0.9, 1, 2]}', r"'a' must be a list of \[score, start, end\]"),
        ('{"a": "x"}', r"'a' must be a list of \[score, start, end\]"),
        ('{"format": "other"}', "is of format 'other'"),
        ('{"format": "iamsb-predictions-v1"}', "no object 'predictions'"),
        ('{"format": "iamsb-predictions-v1", "predictions": {"a": 1}}', "must be an object"),
        (json.dumps(own(a={"audio": [], "visual": [], "fused": [], "clip_score": 1})), "'duration_seconds' must be"),
        (json.dumps(own(a={"audio": [], "visual": []})), "'fused' must be a list"),
        ("a.mp4;high\n", ":1 must be a file name"),
        ("0.9\n", ":1 must be a file name"),
    ],
)
def test_bad_predictions_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_predictions(save(tmp_path / "p", text))


def test_predictions_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot read predictions"):
        read_predictions(tmp_path / "none.json")


NUMBERS = st.floats(-1e6, 1e6, width=32) | st.integers(-1000, 1000)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES, st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=4), min_size=1), st.booleans())
def test_the_quick_reader_equals_the_real_parser(document, spaced):
    text = json.dumps(document, indent=2 if spaced else None, separators=None if spaced else (",", ":"))
    found = read_plain_rows(text.encode())
    if found is None:
        assert any("\\" in json.dumps(name) for name in document)  # an escaped quote is left to the real parser
        return
    names, counts, rows = found
    assert names == list(document)
    assert counts == [len(value) for value in document.values()]
    expected = np.array([row for value in document.values() for row in value], dtype=np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(rows, expected)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '{"a": 1}',
        '{"a": [1, 2, 3]}',
        '{"a": [[1, 2, 3]] "b": [[1, 2, 3]]}',
        '{"a": [[1, 2, 3]],}',
        '{"a": [[1, 2, 3],]}',
        '{"a": [[1, 2, 3] [4, 5, 6]]}',
        '{"a": [[1, , 3]]}',
        '{"a": [[1, 2, 3 4]]}',
        '{"a": [[1, 2, NaN]]}',
        '{"a": [[1, 2, null]]}',
        '{"a": [[1, 2], [1, 2, 3, 4]]}',
        '{"a": [[1, 2, 3]]}}',
        '{"a": {"b": [[1, 2, 3]]}}',
        'x{"a": [[1, 2, 3]]}',
        '{"a": [[1, 2, 3]]',
        '{"a": [[1-2, 2, 3]]}',
        '{junk "a": [[1, 2, 3]]}',
        '{"a": [[1, 2, 3]]} {"b": [[1, 2, 3]]}',
        '{"a": [[1, 2, 3]]}, "b": [[1, 2, 3]]}',
    ],
)
def test_the_quick_reader_leaves_anything_unusual_to_the_real_one(text):
    assert read_plain_rows(text.encode()) is None


# --- both ---


def test_score_of_two_files(tmp_path):
    dev = LAVDF_ENTRY | {"file": "dev/2.mp4", "split": "dev"}
    labels = save(tmp_path / "metadata.json", [LAVDF_ENTRY, dev])
    predictions = save(tmp_path / "p.json", {"test/000001.mp4": [[0.9, 50, 60], [0.8, 25, 50]]})
    report = score(labels, predictions, "lavdf")
    assert report.counts.clips == 1
    assert report.ap["0.5"] == pytest.approx(0.5)
    assert report.auc is None
    assert report.streams == {}
    assert any("no clip of split dev is predicted" in warning for warning in report.warnings)
    with pytest.raises(ValueError, match="none of the 1 clips has a prediction"):
        score(labels, predictions, "lavdf", split="dev")
    with pytest.raises(ValueError, match="no clip of split 'train'; their splits are dev, test"):
        score(labels, predictions, "lavdf", split="train")


def test_a_file_in_frames_under_a_protocol_of_seconds(tmp_path):
    labels = save(tmp_path / "labels.json", [{"file": "a", "fake_periods": [[1, 2]]}])
    frames = save(tmp_path / "p.json", {"a": [[0.9, 25, 50]]})
    assert score(labels, frames, "activitynet").ap["0.5"] == 0.0
    assert Scoring.read(labels, frames, "activitynet", file_hz=25).report().ap["0.5"] == 1.0
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        Scoring.read(labels, frames, "activitynet", file_hz=0)


def test_several_files_are_scored_together(tmp_path):
    first = save(tmp_path / "a.json", [{"file": "a", "fake_segments": [[1, 2]]}])
    second = save(tmp_path / "b.json", [{"file": "b", "fake_periods": [[1, 2]]}])
    ours = save(tmp_path / "pa.json", {"a": [[0.9, 1, 2]]})
    others = save(tmp_path / "pb.json", {"b": [[0.8, 5, 6]]})
    report = score((first, second), (ours, others), "ddl-av", slice_by=("dataset",))
    assert report.ap["0.5"] == 0.5
    assert {name: one.ap["0.5"] for name, one in report.slices["dataset"].items()} == {"av-deepfake1m": 1, "tvil": 0}
    with pytest.raises(ValueError, match="label files together lists 'a' twice"):
        score((first, first), ours, "ddl-av")
    with pytest.raises(ValueError, match="1 clips are predicted in more than one of the files"):
        score((first, second), (ours, ours), "ddl-av")


def test_two_files_are_compared_under_one_protocol_by_what_both_say(tmp_path):
    entries = [{"file": f"{i}", "fake_segments": [[1, 2]] if i % 2 else []} for i in range(8)]
    labels = save(tmp_path / "labels.json", entries)
    right = save(tmp_path / "right.json", {f"{i}": [[0.9 if i % 2 else 0.1, 1, 2]] for i in range(8)})
    wrong = save(tmp_path / "wrong.json", {f"{i}": [[0.9 if i % 2 else 0.1, 5, 6]] for i in range(8)})
    first = Scoring.read(labels, right, "ddl-av", detection="best-proposal")
    second = Scoring.read(labels, wrong, "ddl-av")
    found = first.differences(second, 20, np.random.default_rng(0))["fused"]
    assert found["ap_0.5"].estimate == 1.0
    assert "auc" not in found  # only one of the two has clip scores
    assert "auc" in first.intervals(5, np.random.default_rng(0))["fused"]
    with pytest.raises(ValueError, match="two protocols"):
        first.differences(Scoring.read(labels, wrong, "activitynet"), 5, np.random.default_rng(0))


def test_score_with_clip_scores_beside(tmp_path):
    entries = [
        {"file": "a.mp4", "fake_segments": [[1, 2]]},
        {"file": "b.mp4", "fake_segments": []},
        {"file": "c.mp4", "fake_segments": []},
    ]
    labels = save(tmp_path / "labels.json", entries)
    predictions = save(tmp_path / "p.json", {name: [[0.5, 1, 2]] for name in ("a.mp4", "b.mp4", "c.mp4")})
    lines = save(tmp_path / "p.txt", "a.mp4,0.9\nb.mp4,0.2\n")
    report = score(labels, predictions, "ddl-av", detection_path=lines)
    assert (report.ap["0.95"], report.auc, report.score, report.final) == (1.0, 1.0, 1.0, 1.0)
    assert any("1 clips with segments have no clip score" in warning for warning in report.warnings)
    assert score(labels, lines, "ddl-av").auc == 1.0
    with pytest.raises(ValueError, match="holds no clip scores"):
        score(labels, predictions, "ddl-av", detection_path=predictions)
