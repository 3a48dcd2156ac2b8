"""Files for challenges: what is written, what a check finds, and on which line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.metrics.prediction_files import read_predictions
from iamsb_core.metrics.submission_check import SubmissionCheck, check_submission
from iamsb_core.metrics.submission_formats import FORMATS, Listing, submission_format
from iamsb_core.metrics.submission_scan import scan
from iamsb_core.metrics.submission_writing import write_submission

DEEPFAKES, DDL = FORMATS["1m-deepfakes"], FORMATS["ddl-av"]


def clip(name: str, rows: list[list[float]], score: float = 0.5) -> ClipProposals:
    """Rows are [start, end, score]."""
    none = np.empty((0, 3), dtype=np.float32)
    return ClipProposals(name, 8.0, none, none, np.asarray(rows, dtype=np.float32).reshape(-1, 3), score)


def found(check: SubmissionCheck) -> list[tuple[str, int | None, str | None]]:
    return [(fault.kind, fault.line, fault.clip) for fault in check.faults]


def save(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- writing ---


def test_both_files_by_hand(tmp_path):
    clips = {"b.mp4": clip("b.mp4", [[1, 2, 0.25], [0.1, 0.5, 0.75]], 0.9), "a.mp4": clip("a.mp4", [], 0.1)}
    done = write_submission(DEEPFAKES, clips, Listing(("a.mp4", "b.mp4")), tmp_path)
    assert done.text_path.read_text() == "a.mp4;0.1\nb.mp4;0.9\n"
    assert done.json_path.read_text() == ('{"a.mp4": [[0.0,0.0,0.0]],\n"b.mp4": [[0.75,0.1,0.5],[0.25,1.0,2.0]]}\n')
    assert (done.num_clips, done.num_proposals) == (2, 3)
    assert done.warnings == ("1 predicted clips have no proposal; they were given a placeholder",)
    assert write_submission(DDL, clips, None, tmp_path / "ddl").text_path.read_text() == "b.mp4,0.9\na.mp4,0.1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ddl", "prediction.json", "prediction.txt"]


def test_what_cannot_be_sent_is_mended_and_told(tmp_path):
    rows = [[1, 2, 0.9], [2, 1, 0.8], [3, 3, 0.7], [-1, 1, 0.6], [math.nan, 1, 0.5], [4, 5, 0.4]]
    clips = {"a": clip("a", rows, math.nan), "x": clip("x", [])}
    done = write_submission(DDL, clips, Listing(("a", "m")), tmp_path, max_proposals=2)
    document = json.loads(done.json_path.read_text())
    assert document["a"] == [[pytest.approx(0.9), 1, 2], [pytest.approx(0.6), 0, 1]]
    assert document["m"] == [[0, 0, 0]]
    assert done.text_path.read_text() == "a,0.0\nm,0.0\n"
    told = " ".join(done.warnings)
    for text in ("1 listed clips have no prediction, such as m", "1 predicted clips are not in the list"):
        assert text in told
    for text in ("3 proposals hold NaN or do not end", "1 proposals start before", "1 clips have a score that is no"):
        assert text in told


def test_a_folder_of_the_dataset_may_be_part_of_our_ids(tmp_path):
    listed = Listing.read(save(tmp_path / "testA_files.txt", "000000.mp4\n"))
    ours = {f"test{which}/000000.mp4": clip("c", [[0, 1, 0.5]], score) for which, score in (("A", 0.9), ("B", 0.1))}
    assert write_submission(DEEPFAKES, ours, listed, tmp_path).text_path.read_text() == "000000.mp4;0.9\n"


def test_a_submission_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none of the 1 listed clips is predicted: the list has 'a', .* 'x'"):
        write_submission(DDL, {"x": clip("x", [])}, Listing(("a",)), tmp_path)
    with pytest.raises(ValueError, match="at least one proposal"):
        write_submission(DDL, {"a": clip("a", [])}, None, tmp_path, max_proposals=0)
    with pytest.raises(ValueError, match="cannot be told from its score"):
        write_submission(DDL, {"a,b": clip("a,b", [])}, None, tmp_path)
    assert not list(tmp_path.iterdir())  # nothing half written is left


def test_lists_of_clips(tmp_path):
    path = save(tmp_path / "test_files.txt", "000000.mp4\r\n\n000001.mp4\n")
    assert Listing.read(path).names == ("000000.mp4", "000001.mp4")
    assert Listing.read(tmp_path) == Listing.read(path)
    save(tmp_path / "testB_files.txt", "a\n")
    with pytest.raises(ValueError, match="several test sets"):
        Listing.read(tmp_path)
    videos = tmp_path / "ddl" / "test"
    videos.mkdir(parents=True)
    for name in ("2.mp4", "1.mp4", "notes.md"):
        save(videos / name, "")
    assert Listing.read(tmp_path / "ddl").names == ("1.mp4", "2.mp4")
    metadata = save(tmp_path / "val_metadata.json", json.dumps([{"file": "a.mp4", "fake_segments": []}]))
    assert Listing.read(metadata).names == ("a.mp4",)


@pytest.mark.parametrize(("text", "message"), [("\n", "empty list"), ("a\nb\na\n", "lists 1 clips twice")])
def test_bad_lists_are_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        Listing.read(save(tmp_path / "test_files.txt", text))


def test_lists_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no list of clips"):
        Listing.read(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="neither a list"):
        Listing.read(tmp_path)


def test_an_unknown_format_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean '1m-deepfakes'"):
        submission_format("1M-DeepFake")


# --- checking ---


def test_every_fault_of_a_text_file_with_its_line(tmp_path):
    text = "file;score\na.mp4;0.5\nb.mp4,0.7\nc.mp4;nan\n\n d.mp4;0.3\na.mp4;2\ne.mp4;high\n;0.5\n"
    check = check_submission(DEEPFAKES, save(tmp_path / "p.txt", text), Listing(("a.mp4", "f.mp4")))
    assert found(check) == [
        ("header", 1, None),
        ("separator", 3, None),
        ("not-finite", 4, "c.mp4"),
        ("spaces", 6, "d.mp4"),
        ("duplicate", 7, "a.mp4"),
        ("not-a-number", 8, "e.mp4"),
        ("separator", 9, None),
        ("missing", None, "f.mp4"),
    ]
    assert (check.task, check.passed, check.num_clips) == ("detection", False, 4)
    assert check.fault_counts["separator"] == 2
    assert any("1 scores lie outside [0, 1]" in note for note in check.notes)
    assert any("2 clips are not in the list, such as c.mp4" in note for note in check.notes)


def test_every_fault_of_a_json_file_with_its_line(tmp_path):
    text = """{"a": [[0.5, 1, 2], [0.9, 3, 2]],
      "b": [],
      "a": [[0.5, -1, 2],
            [NaN, 1, 2], [null, 1, 2]],
      "c": [[1, 2]], "d": 3, "q\\"": [[true, 1, 2]],
      "e": [[0.5, 1, 1], [0, 0, 0]]}"""
    check = check_submission(DEEPFAKES, save(tmp_path / "p.json", text), Listing(("a", "f")))
    assert sorted(found(check), key=str) == sorted(
        [
            ("unsorted", 1, "a"),
            ("inverted", 1, "a"),
            ("empty-list", 2, "b"),
            ("duplicate", 3, "a"),
            ("negative-time", 3, "a"),
            ("not-finite", 3, "a"),
            ("not-finite", 3, "a"),
            ("bad-row", 5, "c"),
            ("not-a-list", 5, "d"),
            ("bad-row", 5, 'q"'),
            ("missing", None, "f"),
        ],
        key=str,
    )
    assert [fault.line or math.inf for fault in check.faults] == sorted(f.line or math.inf for f in check.faults)
    assert (check.task, check.num_clips, check.num_placeholders) == ("localization", 7, 1)
    assert any("row 2 scores more" in fault.text for fault in check.faults)
    assert any("1 proposals have no length" in note for note in check.notes)


def test_faults_of_numbers_in_a_file_of_good_form_have_their_lines_too(tmp_path):
    text = '{\n"a": [[0.5, 1, 2]],\n"b": [[0.5, 1, 2], [0.6, 1, 2], [0.1, 3, 2]],\n"c": [[]],\n"d": [[0.1, 1, 2]]\n}'
    check = check_submission(DDL, save(tmp_path / "p.json", text))
    assert found(check) == [("inverted", 3, "b"), ("unsorted", 3, "b"), ("empty-list", 4, "c")]
    assert any("no list of the test clips" in note for note in check.notes)


@pytest.mark.parametrize(
    ("text", "kind", "line"),
    [
        ("", "empty-file", 1),
        ('{"a": [[1, 2, 3]],\n "b": [[1, 2', "not-json", 2),
        ('{"a": [[1, 2, 3]]}\n}', "not-json", 2),
        ("{}\n1", "not-json", 2),
        ('{"a" [[1, 2, 3]]}', "not-json", 1),
        ('{"a": [[1, 2, 3]] "b": []}', "not-json", 1),
        ("{}", "no-clips", 1),
        ("{1: 2}", "not-json", 1),
        ("[[1, 2, 3]]", "not-json", 1),
        ('\ufeff{"a": [[1, 2, 3]]}', "byte-order-mark", 1),
    ],
)
def test_a_file_that_breaks_off_says_where(tmp_path, text, kind, line):
    check = check_submission(DDL, save(tmp_path / "p.json", text))
    assert found(check)[-1] == (kind, line, None)


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(b"\x1f\x8b\x08rest")
    assert found(check_submission(DDL, path)) == [("compressed", 1, None)]
    path.write_bytes(b'{"a": [[1, 2, 3]],\n"\xff": [[1, 2, 3]]}')
    assert found(check_submission(DDL, path))[0][:2] == ("not-json", 2)
    with pytest.raises(ValueError, match="cannot read"):
        check_submission(DDL, tmp_path / "none.json")


def test_a_file_that_is_too_large_for_the_organisers(tmp_path):
    from dataclasses import replace  # noqa: PLC0415

    path = save(tmp_path / "p.json", '{"a": [[0.1, 1, 2]]}')
    small = replace(DEEPFAKES, max_json_bytes=10)
    assert found(check_submission(small, path)) == [("too-large", None, None)]


# --- both ---

NUMBERS = st.floats(-1e3, 1e3, width=32) | st.sampled_from([math.nan, math.inf])
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters=";,"), min_size=1)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(
        NAMES.filter(lambda name: name == name.strip()),
        st.tuples(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=5), NUMBERS),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(list(FORMATS.values())),
)
def test_whatever_is_predicted_what_is_written_passes_its_check(tmp_path_factory, drawn, form):
    clips = {name: clip(name, [list(row) for row in rows], score) for name, (rows, score) in drawn.items()}
    out = tmp_path_factory.mktemp("submission")
    done = write_submission(form, clips, Listing((*clips, "not predicted")), out)
    for path in (done.text_path, done.json_path):
        check = check_submission(form, path, Listing((*clips, "not predicted")))
        assert check.faults == ()
        assert check.num_clips == len(clips) + 1
    read = read_predictions(done.json_path)
    for name, before in clips.items():
        rows = before.fused
        fine = np.isfinite(rows).all(axis=1) & (rows[:, 1] > np.maximum(rows[:, 0], 0))
        sent = rows[fine][np.argsort(-rows[fine][:, 2], kind="stable")]
        expected = np.maximum(sent, np.float32([0, 0, -np.inf])) if len(sent) else np.zeros((1, 3), dtype=np.float32)
        np.testing.assert_array_equal(read.clips[name].fused, expected)


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(max_size=4), st.lists(st.tuples(*[st.integers(-9, 9)] * 3), max_size=3), max_size=4))
def test_the_slow_scanner_reads_what_the_quick_one_reads(document):
    text = json.dumps(document, indent=1)
    nan = text[:-1].rstrip() + (",\n" if document else "") + '"\\u0000extra": [[NaN, 1, 2]]}'
    slow, parsed = scan(nan.encode()), json.loads(nan)
    assert slow.faults == []
    assert set(slow.names) == set(parsed)
    quick = scan(text.encode())
    assert quick.names == slow.names[: len(quick.names)]
    assert quick.lines == slow.lines[: len(quick.names)]
    np.testing.assert_array_equal(quick.rows, slow.rows[: len(quick.rows)])
