"""AV-Deepfake1M, AV-Deepfake1M++ and DDL-AV: their own layouts by hand, their known faults, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.manifest import Forgery, Modality
from iamsb_core.timeline import Segment

BOTH = Modality.AUDIO | Modality.VISUAL
CLIP = "id00012/21Uxsk56VDQ/00001"


def entry(kind: str = "fake_video_fake_audio", **changes: Any) -> dict[str, Any]:
    """An entry as train_metadata.json has it: a word replaced in both streams."""
    return {
        "file": f"{CLIP}/{kind}.mp4",
        "original": f"{CLIP}/real.mp4",
        "split": "train",
        "modify_type": "both_modified",
        "audio_model": "yourtts",
        "fake_segments": [[3.28, 3.46]],
        "audio_fake_segments": [[3.28, 3.46]],
        "visual_fake_segments": [[3.28, 3.46]],
        "video_frames": 164,
        "audio_frames": 104960,
        **changes,
    }


def real(**changes: Any) -> dict[str, Any]:
    segments: dict[str, Any] = {f"{stream}fake_segments": [] for stream in ("", "audio_", "visual_")}
    source = {"original": "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "audio_model": ""}
    return entry("real", **{"modify_type": "real", **segments, **source, **changes})


def audio_only(**changes: Any) -> dict[str, Any]:
    return entry("real_video_fake_audio", **{"modify_type": "audio_modified", "visual_fake_segments": [], **changes})


def write(root: Path, name: str, entries: list[dict[str, Any]], folder: str = "train", files: bool = True) -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps(entries))
    for one in entries if files else ():
        touch(root / folder / one["file"])
    return root


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def read(root: Path, name: str = "av-deepfake1m") -> Any:
    return read_dataset(name, root)


def test_a_record_by_hand(tmp_path: Path) -> None:
    write(tmp_path, "train_metadata.json", [entry(), real()])
    manifest = read(tmp_path)
    forged, genuine = manifest.videos
    assert manifest.name == "av-deepfake1m"
    assert manifest.repairs == ()
    assert forged.video_id == f"{CLIP}/fake_video_fake_audio.mp4"
    assert forged.path == Path("train", CLIP, "fake_video_fake_audio.mp4")
    assert (forged.split, forged.identity, forged.generator) == ("train", "id00012", "yourtts")
    assert forged.duration_seconds == pytest.approx(164 / 25)
    assert forged.original == genuine.video_id
    assert forged.forgeries == (Forgery(Segment(3.28, 3.46), BOTH),)
    assert (genuine.is_forged, genuine.original, genuine.generator) == (False, None, None)


def test_each_stream_has_its_own_segments(tmp_path: Path) -> None:
    lists = {"audio_fake_segments": [[1.0, 1.5]], "visual_fake_segments": [[1.2, 1.8], [4.0, 4.2]]}
    write(tmp_path, "train_metadata.json", [entry(**lists, fake_segments=[[1.0, 1.8], [4.0, 4.2]])])
    (video,) = read(tmp_path).videos
    assert video.truth(Modality.AUDIO).tolist() == [[1.0, 1.5]]
    assert video.truth(Modality.VISUAL).tolist() == [[1.2, 1.8], [4.0, 4.2]]
    assert video.truth().tolist() == [[1.0, 1.8], [4.0, 4.2]]


def test_the_copy_in_the_unmodified_stream_is_cleared_and_counted(tmp_path: Path) -> None:
    copied = [
        audio_only(file=f"id{i:05d}/y/0/real_video_fake_audio.mp4", visual_fake_segments=[[3.28, 3.46]])
        for i in range(5)
    ]
    write(tmp_path, "train_metadata.json", [*copied, real()])
    manifest = read(tmp_path)
    for video in manifest.videos[:5]:
        assert video.forgeries == (Forgery(Segment(3.28, 3.46), Modality.AUDIO),)
    (said,) = manifest.repairs
    assert said == (
        "visual segments cleared where modify_type says that stream is genuine: 5 entries, such as "
        + ", ".join(f"id{i:05d}/y/0/real_video_fake_audio.mp4" for i in range(3))
    )


def test_hyphens_in_modify_type_are_read_as_underscores(tmp_path: Path) -> None:
    write(tmp_path, "train_metadata.json", [entry(modify_type="both-modified"), real()])
    manifest = read(tmp_path)
    assert manifest.videos[0].forgeries[0].modality == BOTH
    assert "modify_type 'both-modified' read as 'both_modified': 1 entry" in manifest.repairs[0]


def test_val_is_dev_and_test_has_no_labels(tmp_path: Path) -> None:
    write(tmp_path, "val_metadata.json", [entry(split="val"), real(split="val")], folder="val")
    (tmp_path / "test_files.txt").write_text("000000.mp4\n000001.mp4\n\n")
    touch(tmp_path / "test/000000.mp4")
    manifest = read(tmp_path)
    assert [video.split for video in manifest.videos] == ["dev", "dev", "test", "test"]
    hidden = manifest.split("test").videos
    assert [(one.video_id, one.path.as_posix(), one.label) for one in hidden] == [
        ("000000.mp4", "test/000000.mp4", "none"),
        ("000001.mp4", "test/000001.mp4", "none"),
    ]
    assert manifest.videos[0].path.parts[0] == "val"
    assert manifest.repairs[0] == "videos of 'val' read as the split dev: 2"
    assert manifest.repairs[1] == "test videos without a label, to be predicted on and not scored: 2"
    assert manifest.repairs[2].startswith("1 of 2 files looked for in the test split are absent, such as test/000001")


def test_what_else_is_mended(tmp_path: Path) -> None:
    lists = {"audio_fake_segments": [], "visual_fake_segments": []}
    entries = [
        audio_only(file="a/1/1/x.mp4", audio_fake_segments=[[2.0, 2.0], [3.46, 3.28]]),
        entry(file="a/1/2/x.mp4", **lists),
        entry(file="a/1/3/x.mp4", fake_segments=[[1.0, 2.0]]),
    ]
    manifest = read(write(tmp_path, "train_metadata.json", entries))
    turned, from_union, differing = manifest.videos
    assert turned.forgeries == (Forgery(Segment(3.28, 3.46), Modality.AUDIO),)
    assert from_union.forgeries == (Forgery(Segment(3.28, 3.46), BOTH),)
    assert differing.forgeries == (Forgery(Segment(3.28, 3.46), BOTH),)
    faults = [text.split(":")[0] for text in manifest.repairs]
    assert faults == [
        "audio_fake_segments of no length left out",
        "audio_fake_segments that end before they start turned round",
        "fake_segments used where the modified stream's list is empty",
        "streams' segments used where fake_segments are not what they cover together",
    ]


@pytest.mark.parametrize("folder", ["train_metadata", "train"])
def test_objects_of_single_videos_do_where_there_is_no_list(tmp_path: Path, folder: str) -> None:
    for one in (entry(), real()):
        touch(tmp_path / "train" / one["file"])
        place = (tmp_path / folder / one["file"]).with_suffix(".json")
        touch(place)
        place.write_text(json.dumps(one))
    name = "av-deepfake1m" if folder == "train_metadata" else "av-deepfake1m-plusplus"
    assert sorted(video.is_forged for video in read(tmp_path, name).videos) == [False, True]


def test_plusplus_has_two_test_sets_and_two_models(tmp_path: Path) -> None:
    write(tmp_path, "train_metadata.json", [entry(video_model="latentsync"), real(video_model=None)])
    for letter in "AB":
        (tmp_path / f"test{letter}_files.txt").write_text("00000.mp4\n")
        touch(tmp_path / f"test{letter}/00000.mp4")
    manifest = read(tmp_path, "av-deepfake1m-plusplus")
    assert manifest.videos[0].generator == "yourtts + latentsync"
    assert [video.video_id for video in manifest.split("test").videos] == ["testA/00000.mp4", "testB/00000.mp4"]
    with pytest.raises(ValueError, match=r"holds AV-Deepfake1M\+\+, not AV-Deepfake1M; use the name 'av-deepfake1m-p"):
        read(tmp_path)


def test_the_same_name_in_two_splits_stays_apart(tmp_path: Path) -> None:
    write(tmp_path, "train_metadata.json", [real()])
    write(tmp_path, "val_metadata.json", [real(split="val")], folder="val")
    manifest = read(tmp_path)
    assert [video.video_id for video in manifest.videos] == [f"train/{CLIP}/real.mp4", f"val/{CLIP}/real.mp4"]
    assert any("the same name is in two splits" in text for text in manifest.repairs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modify_type": "audio"}, "'modify_type' must be one of real, audio_modified.*got 'audio'"),
        ({"modify_type": None}, "'modify_type' must be text"),
        ({"file": "../x.mp4"}, "not a path below"),
        ({"video_frames": 0}, "more than 0 s"),
        ({"video_frames": "many"}, "'video_frames' must be a whole number"),
        ({"audio_fake_segments": None}, "'audio_fake_segments' must be a list"),
        ({"audio_fake_segments": [[1.0]]}, r"must be a list of \[start, end\]"),
        ({"audio_fake_segments": [["a", 2]]}, "audio_fake_segments must be seconds"),
        ({"audio_fake_segments": [[-1.0, 2.0]]}, "0 or more"),
        (
            {"fake_segments": [], "audio_fake_segments": [], "visual_fake_segments": []},
            "'both_modified', but no forged segment is listed",
        ),
    ],
)
def test_a_wrong_entry_is_named_by_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path, "train_metadata.json", [real(), entry(**changes)], files=False)
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path)
    assert "train_metadata.json[1]" in str(caught.value)


def test_a_file_cut_short_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "train_metadata.json").write_text(json.dumps([real(), entry()])[:-40])
    with pytest.raises(ValueError, match=r"train_metadata.json is not valid JSON .*after character \d+.*cut short"):
        read(tmp_path)


def test_a_folder_without_any_of_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read(tmp_path / "nowhere")
    write(tmp_path / "copy", "train_metadata.json", [real()])
    with pytest.raises(ValueError, match=r"did you mean .*copy\?"):
        read(tmp_path)
    write(tmp_path / "bare", "train_metadata.json", [real()], files=False)
    with pytest.raises(ValueError, match="none of the 1 looked for is there"):
        read(tmp_path / "bare")


def ddl(kind: str, name: str, split: str, audio: list[Any], visual: list[Any]) -> dict[str, Any]:
    return {
        "file": f"{kind}/{name}.mp4",
        "split": split,
        "modify_type": kind,
        "audio_fake_segments": audio,
        "visual_fake_segments": visual,
        "video_frames": 250,
    }


def write_ddl(root: Path) -> None:
    entries = [
        ddl("real_audio_real_visual", "1", "train", [], []),
        ddl("fake_audio_fake_visual", "2", "train", [[0.5, 1.0]], [[6.0, 9.0]]),
        ddl("fake_audio_real_visual", "3", "val", [[0.0, 10.0]], []),
        ddl("real_audio_fake_visual", "4", "val", [], [[2.0, 3.0]]),
    ]
    for one in entries:
        touch(root / f"{one['split']}_data" / one["file"])
        place = (root / f"{one['split']}_metadata_workshop" / one["file"]).with_suffix(".json")
        touch(place)
        place.write_text(json.dumps(one))


def test_ddl_av_by_hand(tmp_path: Path) -> None:
    write_ddl(tmp_path)
    touch(tmp_path / "test/000001.mp4")
    manifest = read(tmp_path, "ddl-av")
    videos = {video.path.as_posix(): video for video in manifest.videos}
    both = videos["train_data/fake_audio_fake_visual/2.mp4"]
    assert (both.video_id, both.split, both.duration_seconds) == ("fake_audio_fake_visual/2.mp4", "train", 10.0)
    assert both.truth(Modality.AUDIO).tolist() == [[0.5, 1.0]]
    assert both.truth(Modality.VISUAL).tolist() == [[6.0, 9.0]]
    assert videos["val_data/fake_audio_real_visual/3.mp4"].forgeries[0].modality == Modality.AUDIO
    assert videos["val_data/real_audio_fake_visual/4.mp4"].split == "dev"
    assert not videos["train_data/real_audio_real_visual/1.mp4"].is_forged
    assert (videos["test/000001.mp4"].video_id, videos["test/000001.mp4"].label) == ("000001.mp4", "none")
    assert "test videos without a label, to be predicted on and not scored: 1" in manifest.repairs


def test_ddl_av_is_told_from_the_others(tmp_path: Path) -> None:
    write_ddl(tmp_path)
    with pytest.raises(ValueError, match="this looks like DDL-AV; use the name 'ddl-av'"):
        read(tmp_path)
    other = write(tmp_path / "other", "train_metadata.json", [real()])
    with pytest.raises(ValueError, match="this looks like AV-Deepfake1M; use the name 'av-deepfake1m'"):
        read(other, "ddl-av")


def test_the_check_counts_what_was_mended_and_what_is_absent_once(tmp_path: Path) -> None:
    entries = [entry(file=f"id{i:05d}/y/0/x.mp4", modify_type="both-modified") for i in range(4)]
    write(tmp_path, "train_metadata.json", entries)
    (tmp_path / "train/id00002/y/0/x.mp4").unlink()
    found = {finding.kind: finding for finding in validate(read(tmp_path)).findings}
    assert (found["repaired"].count, found["missing_file"].count) == (4, 1)
    assert "modify_type 'both-modified' read as" in found["repaired"].message
