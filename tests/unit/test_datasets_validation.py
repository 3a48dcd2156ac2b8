"""What validation finds, one fault at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.datasets.checks import findings
from iamsb_core.datasets.checks.columns import columns
from iamsb_core.datasets.published import PUBLISHED
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
    with pytest.raises(ValueError, match=r"1 forged segment lies outside the clip, such as a.mp4: .*\[3.500, 4.200\)"):
        validate(outside).raise_for_errors()
    assert kinds(manifest(tmp_path, video("a.mp4", "train", (3.5, 4.04)))) == []  # one frame over: rounding


def test_the_probed_duration_counts_more_than_the_stated_one(tmp_path: Path) -> None:
    one = manifest(tmp_path, video("a.mp4", "train", (3.5, 3.9)))
    assert kinds(one, durations={"a.mp4": 3.0}) == [("error", "outside_clip"), ("warning", "duration_disagrees")]
    assert kinds(one, durations={"a.mp4": 4.01}) == []


def test_each_fault_has_its_kind(tmp_path: Path) -> None:
    assert kinds(manifest(tmp_path, video("a.mp4", "train", (1, 2), (1.5, 3)))) == [("warning", "overlapping_segments")]
    (tmp_path / "a.mp4").unlink()
    (tmp_path / "stray.mp4").touch()
    assert kinds(manifest(tmp_path, video("a.mp4"))) == [("note", "orphan_file")]
    absent = [video("a.mp4"), video("b.mp4")]
    assert kinds(manifest(tmp_path, *absent, files=False)) == [("warning", "missing_file"), ("note", "orphan_file")]
    assert kinds(manifest(tmp_path, video("a.mp4", "train", (1, 1.01)))) == [
        ("warning", "shorter_than_a_frame"),
        ("note", "orphan_file"),
    ]
    again = [video("a.mp4"), replace(video("a.mp4"), video_id="twice")]
    assert ("warning", "file_listed_twice") in kinds(manifest(tmp_path, *again))


def test_leaks_between_splits_are_errors(tmp_path: Path) -> None:
    people = manifest(tmp_path, video("a.mp4", "train", identity="ann"), video("b.mp4", "test", identity="ann"))
    assert kinds(people) == [("error", "person_in_two_splits")]
    same = [video(name, split, media_sha256="ab") for name, split in (("a.mp4", "train"), ("b.mp4", "test"))]  # type: ignore[arg-type]
    assert kinds(manifest(tmp_path, *same)) == [("error", "duplicate_media")]
    within = [video(name, media_sha256="ab") for name in ("a.mp4", "b.mp4", "c.mp4")]
    (found,) = [one for one in validate(manifest(tmp_path, *within)).findings if one.kind == "duplicate_media"]
    assert (found.severity, found.count) == ("warning", 1)
    assert found.example == "3 videos are the same file: a.mp4 (train), b.mp4 (train), c.mp4 (train)"
    (tmp_path / "c.mp4").unlink()
    made = [video("a.mp4", "train"), video("b.mp4", "test", (1.0, 2.0), original="a.mp4")]
    assert kinds(manifest(tmp_path, *made)) == [("error", "original_in_another_split")]


def test_empty_splits_are_told_and_a_repair_has_the_count_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    repairs = ("6,160 entries carry a copy; cleared (such as b.mp4)", "1 entry lists no file", "joined two lists")
    report = validate(Manifest("test", tmp_path, (video("a.mp4"),), repairs))
    assert [finding.kind for finding in report.findings] == ["repaired"] * 3 + ["empty_split"] * 2
    assert [(finding.message, finding.count) for finding in report.of("warning")] == list(
        zip(repairs, (6160, 1, 1), strict=True)
    )


def test_a_million_faults_are_one_finding_with_a_count_and_the_first_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "MAX_INSTANCES", 3)
    bad = manifest(tmp_path, *(video(f"{i}.mp4", "train", (4, 5)) for i in range(5)))
    (found,) = validate(bad).of("error")
    assert found.count == 5
    assert [each.where for each in found.instances] == ["0.mp4", "1.mp4", "2.mp4"]
    with pytest.raises(ValueError, match=r"5 forged segments lie outside the clip, such as 0.mp4"):
        validate(bad).raise_for_errors()


def test_people_shared_by_design_are_a_warning_that_says_so(tmp_path: Path) -> None:
    shared = (video("a.mp4", "train", identity="ann"), video("b.mp4", "dev", identity="ann"))
    told = validate(Manifest("av-deepfake1m-plusplus", tmp_path, shared), look_at_files=False)
    (found,) = [one for one in told.findings if one.kind == "person_in_two_splits"]
    assert found.severity == "warning"
    assert "AV-Deepfake1M++ shares people between train and dev by design" in found.message
    other = (*shared, video("c.mp4", "test", identity="ann"))
    assert not validate(Manifest("av-deepfake1m-plusplus", tmp_path, other), look_at_files=False).ok


def test_a_copy_of_another_size_is_told_with_the_difference(tmp_path: Path) -> None:
    def sizes(num_train: int, num_dev: int) -> str:
        videos = (*(video(f"{i}", "train") for i in range(num_train)), *(video(f"d{i}", "dev") for i in range(num_dev)))
        report = validate(Manifest("lavdf", tmp_path, videos), look_at_files=False)
        (found,) = [one for one in report.findings if one.kind == "size_differs"]
        assert found.severity == "warning"
        return " ".join([found.message, *(instance.message for instance in found.instances)])

    part = sizes(100, 20)
    assert "train has 100 videos, -78,603 against 78,703" in part
    assert "the whole has 120 videos, -136,184 against 136,304" in part
    assert "0.1% of it is listed: this copy is a part" in part
    assert "dev holds more than it should: this copy was split anew" in sizes(3, 31_502)


def test_published_sizes_add_up() -> None:
    for published in PUBLISHED.values():
        for size in (*published.splits.values(), *filter(None, [published.total])):
            if size.num_real is not None and size.num_forged is not None:
                assert size.num_real + size.num_forged == size.num_videos
        if published.total is not None and len(published.splits) == 3:
            assert sum(size.num_videos for size in published.splits.values()) == published.total.num_videos


def test_clips_labelled_as_a_whole_or_not_at_all_are_counted_as_such(tmp_path: Path) -> None:
    both = Modality.AUDIO | Modality.VISUAL
    whole = replace(video("a.mp4"), label="clip", forged_streams=both)
    unclear = replace(video("b.mp4"), label="clip", forged_streams=both, streams_told_apart=False)
    hidden = replace(video("c.mp4", "test"), label="none", duration_seconds=None)
    report = validate(manifest(tmp_path, whole, unclear, hidden))
    train, _, test = report.splits
    assert (train.num_forged, train.num_whole_clips, train.num_forged_both, train.num_stream_unknown) == (2, 2, 1, 1)
    assert (test.num_videos, test.num_genuine, test.num_unlabelled) == (1, 0, 1)
    assert [one.kind for one in report.findings] == ["unknown_duration", "empty_split", "unlabelled"]


def test_one_walk_finds_what_is_absent_what_is_not_listed_and_what_lies_behind_links(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "train" / ".hidden", elsewhere):
        folder.mkdir(parents=True)
    for path in ("train/a.mp4", "train/.hidden/b.mp4", "train/notes.txt", "train/STRAY.MOV", "train/.part.mp4"):
        (root / path).touch()
    (elsewhere / "c.mp4").touch()
    (root / "dev").symlink_to(elsewhere)
    (root / "again").symlink_to(elsewhere)  # entered once, whichever link comes first
    (root / "dev" / "back").symlink_to(root)
    (root / "train" / "gone.mp4").symlink_to(root / "nowhere.mp4")
    names = ("train/a.mp4", "train/.hidden/b.mp4", "dev/c.mp4", "again/c.mp4", "train/gone.mp4", "train/never.mp4")
    report = validate(Manifest("test", root, tuple(video(name) for name in names)))
    (missing,) = [one for one in report.findings if one.kind == "missing_file"]
    assert [each.where for each in missing.instances] == ["train/gone.mp4", "train/never.mp4"]
    assert "2 of 6 listed files are not there (train 2)" in missing.message
    (orphans,) = [one for one in report.findings if one.kind == "orphan_file"]
    assert [each.where for each in orphans.instances] == ["train/STRAY.MOV"]


def test_nothing_there_at_all_is_an_error(tmp_path: Path) -> None:
    assert kinds(manifest(tmp_path, video("a.mp4"), video("b.mp4"), files=False)) == [("error", "missing_file")]


segments = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 30)), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(segments, segments), min_size=1, max_size=5))
def test_the_columns_hold_the_truth_of_every_record(lists: list[tuple[list[tuple[int, int]], ...]]) -> None:
    streams = (Modality.AUDIO, Modality.VISUAL)
    videos = tuple(
        replace(
            video(str(i)),
            forgeries=tuple(
                Forgery(Segment(start / 20, (start + length) / 20), stream)
                for stream, found in zip(streams, pair, strict=True)
                for start, length in found
            ),
        )
        for i, pair in enumerate(lists)
    )
    table = columns(Manifest("test", Path("/nowhere"), videos))
    for stream in (*streams, None):
        merged = table.merged(stream)
        for row, record in enumerate(videos):
            here = merged.owners == row
            own = np.stack([merged.starts_seconds[here], merged.ends_seconds[here]], axis=1)
            np.testing.assert_allclose(own, record.truth(stream), atol=1e-6)


def test_histograms_count_what_a_reader_can_count(tmp_path: Path) -> None:
    # lengths 0.25, 0.5 (two overlapping ones joined) and 2.0 s, of clips of 4 s
    one = manifest(
        tmp_path, video("a.mp4", "train", (0.0, 0.25), (1.0, 1.3), (1.2, 1.5)), video("b.mp4", "dev", (2, 4))
    )
    lengths, number, positions, durations, generators = validate(one).histograms
    assert {name: count for name, count in zip(lengths.bins, lengths.series["audio"], strict=True) if count} == {
        "0.2 to 0.3": 1,
        "0.5 to 0.75": 1,
        "2 to 3": 1,
    }
    assert sum(lengths.series["visual"]) == 0
    assert number.series["audio"][:2] == (1, 1)
    assert positions.series["audio"] == (1, 0, 0, 1, 0, 0, 0, 1, 0, 0)
    assert durations.series["all"][2] == durations.total == 2
    assert generators.bins == ()
