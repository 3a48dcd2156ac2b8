"""What validation finds, one fault at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iamsb_core.datasets.validation import validate
from iamsb_core.digest import plain
from iamsb_core.manifest import Forgery, Manifest, Modality, Split, VideoRecord
from iamsb_core.timeline import Segment


def video(name: str, split: Split = "train", *segments: tuple[float, float], **known: str) -> VideoRecord:
    return VideoRecord(
        video_id=name,
        path=Path(name),
        split=split,
        duration_seconds=4.0,
        forgeries=tuple(Forgery(Segment(*pair), Modality.AUDIO) for pair in segments),
        **known,  # type: ignore[arg-type]
    )


def manifest(root: Path, *videos: VideoRecord, files: bool = True) -> Manifest:
    for item in videos if files else ():
        (root / item.path).touch()
    return Manifest("test", root, videos)


def kinds(report_of: Manifest, **known: dict[str, float]) -> list[tuple[str, str]]:
    findings = validate(report_of, **known).findings  # type: ignore[arg-type]
    return [(finding.severity, finding.kind) for finding in findings if finding.kind != "empty_split"]


def test_a_sound_dataset_has_no_finding_and_its_sizes_are_counted(tmp_path: Path) -> None:
    sound = manifest(
        tmp_path,
        video("a.mp4", "train", (0.5, 1.0), (2.0, 4.0), identity="ann"),
        video("b.mp4", "dev", identity="bob"),
        video("c.mp4", "test", identity="cyd"),
    )
    report = validate(sound)
    assert report.ok
    assert report.findings == ()
    report.raise_for_errors()
    train = report.splits[0]
    assert (train.split, train.num_videos, train.num_forged, train.num_segments) == ("train", 1, 1, 2)
    assert (train.num_forged_audio, train.num_forged_visual, train.num_identities) == (1, 0, 1)
    assert json.loads(json.dumps(plain(report)))["splits"][1]["num_videos"] == 1


def test_a_segment_outside_the_clip_is_one_clear_error(tmp_path: Path) -> None:
    # 0         4       4.2
    # [  clip   )
    #        [ forged   )
    outside = manifest(tmp_path, video("a.mp4", "train", (3.5, 4.2)))
    assert kinds(outside) == [("error", "outside_clip")]
    with pytest.raises(ValueError, match=r"1 errors: a.mp4: the forged segment \[3.500, 4.200\) s lies outside"):
        validate(outside).raise_for_errors()
    assert kinds(manifest(tmp_path, video("a.mp4", "train", (3.5, 4.04)))) == []  # one frame over: rounding


def test_the_probed_duration_counts_more_than_the_stated_one(tmp_path: Path) -> None:
    one = manifest(tmp_path, video("a.mp4", "train", (3.5, 3.9)))
    assert kinds(one, durations={"a.mp4": 3.0}) == [("error", "outside_clip"), ("warning", "duration_disagrees")]
    assert kinds(one, durations={"a.mp4": 4.01}) == []


def test_each_fault_has_its_kind(tmp_path: Path) -> None:
    assert kinds(manifest(tmp_path, video("a.mp4", "train", (1, 2), (1.5, 3)))) == [("warning", "overlapping_segments")]
    (tmp_path / "a.mp4").unlink()
    assert kinds(manifest(tmp_path, video("a.mp4"), files=False)) == [("warning", "missing_file")]
    (tmp_path / "stray.mp4").touch()
    assert kinds(manifest(tmp_path, video("a.mp4"))) == [("note", "orphan_file")]


def test_leaks_between_splits_are_errors(tmp_path: Path) -> None:
    people = manifest(tmp_path, video("a.mp4", "train", identity="ann"), video("b.mp4", "test", identity="ann"))
    assert kinds(people) == [("error", "identity_in_two_splits")]
    same = [video(name, split, media_sha256="ab") for name, split in (("a.mp4", "train"), ("b.mp4", "test"))]  # type: ignore[arg-type]
    assert kinds(manifest(tmp_path, *same)) == [("error", "duplicate_media")]
    within = manifest(tmp_path, video("a.mp4"), video("b.mp4"))
    assert kinds(within, media_sha256={"a.mp4": "ab", "b.mp4": "ab"}) == [("warning", "duplicate_media")]  # type: ignore[arg-type]


def test_empty_splits_and_repairs_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    report = validate(Manifest("test", tmp_path, (video("a.mp4"),), ("dropped one",)))
    assert [finding.kind for finding in report.findings] == ["repaired", "empty_split", "empty_split"]
    assert report.of("warning")[0].message == "dropped one"


def test_many_errors_are_counted_and_three_are_shown(tmp_path: Path) -> None:
    bad = manifest(tmp_path, *(video(f"{i}.mp4", "train", (4, 5)) for i in range(5)))
    with pytest.raises(ValueError, match=r"has 5 errors: 0.mp4.*; and 2 more") as caught:
        validate(bad).raise_for_errors()
    assert "3.mp4" not in str(caught.value)
