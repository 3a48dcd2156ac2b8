"""Corrections: what an analyst says becomes truth that the generic reader reads, and nothing is lost on the way."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.manifest import Modality
from storage.corrections import Correction, Corrections, Judgement
from storage.uploads import Shelf, TooLargeError, safe_name

FOUND, ADDED = (1.0, 2.0), (4.0, 4.5)


def correction(sha256: str = "ab" * 32, **changes: object) -> Correction:
    said = (
        Judgement(stream="audio", decision="confirmed", found=FOUND, truth=FOUND),
        Judgement(stream="audio", decision="wrong", found=(3.0, 3.5)),
        Judgement(stream="visual", decision="adjusted", found=FOUND, truth=(1.25, 2.5)),
        Judgement(stream="visual", decision="added", truth=ADDED),
    )
    facts = {"sha256": sha256, "name": "talk.mp4", "duration_seconds": 6.0, "judgements": said, "complete": True}
    about = {"by": "Ada", "at": "2026-02-03T04:05:06+00:00", "model": "models:/iamsb/3", "model_sha256": "cd" * 32}
    return Correction(**{**facts, **about, **changes})


@pytest.fixture
def media(tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(b"film")
    return path


def test_the_dataset_holds_what_is_true(tmp_path: Path, media: Path):
    corrections = Corrections(tmp_path)
    corrections.save(correction(), media)
    manifest = read_dataset("generic", corrections.folder)
    validate(manifest).raise_for_errors()
    (video,) = manifest.split("train").videos
    assert video.truth(Modality.AUDIO).tolist() == [[1.0, 2.0]]
    assert video.truth(Modality.VISUAL).tolist() == [[1.25, 2.5], [4.0, 4.5]]
    assert (manifest.root / video.path).read_bytes() == b"film"
    assert (video.duration_seconds, video.video_id) == (6.0, "ab" * 32)
    line = json.loads((corrections.folder / "manifest.jsonl").read_text())
    assert (line["corrected_by"], line["corrected_model"]) == ("Ada", "models:/iamsb/3")


def test_the_newest_word_counts_and_the_earlier_ones_stay(tmp_path: Path, media: Path):
    corrections = Corrections(tmp_path)
    first = corrections.save(correction(), media)
    doubt = corrections.save(correction(complete=False, note="look again", by="Grace"), media)
    assert (corrections.folder / "manifest.jsonl").read_text() == "", "in doubt, and so not trained on"
    genuine = corrections.save(correction(judgements=()), media)
    assert corrections.history("ab" * 32) == (first, doubt, genuine)
    assert corrections.latest("ab" * 32) == genuine
    (video,) = read_dataset("generic", corrections.folder).videos
    assert (video.label, video.is_forged) == ("segments", False), "a genuine clip is truth too"


def test_one_file_in_five_is_for_choosing_and_stays_so(tmp_path: Path, media: Path):
    corrections = Corrections(tmp_path)
    kept = [corrections.save(correction(f"{number:064x}"), media).split for number in range(7)]
    assert kept == ["train", "dev", "train", "train", "train", "train", "dev"]
    assert corrections.save(correction(f"{1:064x}", by="Grace"), media).split == "dev"


@pytest.mark.parametrize(
    ("decision", "found", "truth"),
    [
        ("confirmed", FOUND, (1.0, 2.1)),
        ("confirmed", None, FOUND),
        ("wrong", FOUND, FOUND),
        ("added", FOUND, FOUND),
        ("adjusted", FOUND, None),
        ("added", None, (2.0, 1.0)),
        ("added", None, (float("nan"), 2.0)),
        ("added", None, (-1.0, 2.0)),
    ],
)
def test_a_contradiction_is_refused(decision, found, truth):
    with pytest.raises(ValueError, match="segment"):
        Judgement(stream="audio", decision=decision, found=found, truth=truth)


def test_impossible_corrections_are_refused():
    with pytest.raises(ValueError, match="ends after the file"):
        correction(duration_seconds=4.0)
    with pytest.raises(ValueError, match="name is empty"):
        correction(by=" ")
    with pytest.raises(ValueError, match="SHA-256"):
        correction("../../etc")


def test_a_damaged_record_is_named(tmp_path: Path, media: Path):
    corrections = Corrections(tmp_path)
    corrections.save(correction(), media)
    record = corrections.folder / "history" / ("ab" * 32) / "0001.json"
    record.write_text("{")
    with pytest.raises(ValueError, match=r"0001\.json is damaged"):
        corrections.latest("ab" * 32)


TIMES = st.tuples(st.floats(0, 5), st.floats(0.01, 1)).map(lambda each: (each[0], each[0] + each[1]))


@given(st.lists(TIMES, max_size=8))
def test_overlapping_truth_is_joined(times):
    said = tuple(Judgement(stream="audio", decision="added", truth=each) for each in times)
    truth = np.array(correction(judgements=said).truth("audio")).reshape(-1, 2)
    assert (truth[1:, 0] > truth[:-1, 1]).all()
    middles = np.linspace(0, 6, 241) + 0.0125
    covered = [any(start <= t < end for start, end in times) for t in middles]
    assert [bool(((truth[:, 0] <= t) & (t < truth[:, 1])).any()) for t in middles] == covered


def test_a_file_is_kept_once_by_its_bytes(tmp_path: Path):
    shelf = Shelf(tmp_path / "desk")
    for name in ("a.mp4", "another name.mp4"):
        with shelf.receiving(name, most_bytes=10) as incoming:
            incoming.write(b"fi")
            incoming.write(b"lm")
            kept = incoming.keep()
    assert shelf.all() == (kept,)
    assert (kept.name, kept.size_bytes, kept.path.read_bytes()) == ("a.mp4", 4, b"film")
    assert kept.sha256 == hashlib.sha256(b"film").hexdigest()
    assert list((tmp_path / "desk" / ".staging").iterdir()) == []


def test_what_is_too_large_or_empty_leaves_nothing(tmp_path: Path):
    shelf = Shelf(tmp_path / "desk")
    with pytest.raises(TooLargeError, match="the most this desk takes"), shelf.receiving("a", most_bytes=3) as incoming:
        incoming.write(b"film")
    with pytest.raises(ValueError, match="empty"), shelf.receiving("a", most_bytes=3) as incoming:
        incoming.keep()
    assert shelf.all() == ()
    assert [each for each in (tmp_path / "desk").rglob("*") if each.is_file()] == []


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\films\\talk.mp4", "talk.mp4"),
        ("..", "video"),
        ("", "video"),
        (".hidden.mp4", "hidden.mp4"),
        ("a\x00\n\u202eb\ud800.mp4", "ab.mp4"),
        ("<b>&\"'.mp4", "<b>&\"'.mp4"),
        ("\u00e4" * 200 + ".mp4", "\u00e4" * 73 + ".mp4"),
    ],
)
def test_names(given_name: str, kept: str):
    assert safe_name(given_name) == kept


@given(st.text())
def test_any_name_is_a_file_name(given_name: str):
    name = safe_name(given_name)
    assert name not in {"", ".", ".."}
    assert not set(name) & set("/\\\0")
    assert len(name.encode()) <= 150
    assert safe_name(name) == name


def test_a_correction_survives_its_file(tmp_path: Path, media: Path):
    corrections = Corrections(tmp_path / "desk")
    kept = corrections.save(correction(), media)
    media.unlink()
    assert (corrections.folder / "media" / f"{kept.sha256}.mp4").read_bytes() == b"film"
    assert replace(kept, note="") == kept
