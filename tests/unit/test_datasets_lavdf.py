"""The LAV-DF reader: the benchmark's own layout, our stream truth beside it, and everything that may be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iamsb_core.datasets.lavdf import read_lavdf
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.stream_truth import STREAMS_FORMAT
from iamsb_core.manifest import Forgery, Modality
from iamsb_core.timeline import Segment


def entry(**changes: Any) -> dict[str, Any]:
    """An entry as the benchmark's own metadata has it."""
    return {
        "file": "test/000472.mp4",
        "n_fakes": 1,
        "fake_periods": [[1.5, 2.25]],
        "duration": 8.64,
        "original": "test/000471.mp4",
        "modify_video": True,
        "modify_audio": False,
        "split": "test",
        "video_frames": 216,
        "audio_channels": 1,
        "audio_frames": 138240,
        **changes,
    }


def real(**changes: Any) -> dict[str, Any]:
    return entry(
        file="train/000001.mp4",
        n_fakes=0,
        fake_periods=[],
        original=None,
        modify_video=False,
        split="train",
        **changes,
    )


def dataset(root: Path, entries: Any, name: str = "metadata.min.json", files: bool = True) -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_text(json.dumps(entries))
    for item in entries if files else ():
        (root / item["file"]).parent.mkdir(exist_ok=True)
        (root / item["file"]).touch()
    return root


def test_a_record_by_hand(tmp_path: Path) -> None:
    manifest = read_lavdf(dataset(tmp_path, [entry(), real()]))
    forged, genuine = manifest.videos
    assert forged.video_id == "test/000472.mp4"
    assert forged.path == Path("test/000472.mp4")
    assert forged.split == "test"
    assert forged.duration_seconds == 8.64
    assert forged.original == "test/000471.mp4"
    assert forged.forgeries == (Forgery(Segment(1.5, 2.25), Modality.VISUAL),)
    assert forged.truth(Modality.AUDIO).shape == (0, 2)
    assert not genuine.is_forged
    assert manifest.root == tmp_path
    assert manifest.repairs == ()


@pytest.mark.parametrize(
    ("video", "audio", "modality"),
    [(True, False, Modality.VISUAL), (False, True, Modality.AUDIO), (True, True, Modality.AUDIO | Modality.VISUAL)],
)
def test_the_two_booleans_name_the_streams(tmp_path: Path, video: bool, audio: bool, modality: Modality) -> None:
    root = dataset(tmp_path, [entry(modify_video=video, modify_audio=audio)])
    assert read_lavdf(root).videos[0].forgeries[0].modality == modality


def test_the_small_metadata_is_preferred_and_the_full_one_will_do(tmp_path: Path) -> None:
    full = {**entry(), "timestamps": [["hello", 0.0, 0.4]], "transcript": "hello"}
    dataset(tmp_path, [full], name="metadata.json")
    assert read_lavdf(tmp_path).videos[0].duration_seconds == 8.64
    dataset(tmp_path, [entry(duration=7.0)])
    assert read_lavdf(tmp_path).videos[0].duration_seconds == 7.0


def test_what_is_mended_is_said(tmp_path: Path) -> None:
    manifest = read_lavdf(dataset(tmp_path, [entry(n_fakes=3, fake_periods=[[1.5, 2.25], [4.0, 4.0]])]))
    assert len(manifest.videos[0].forgeries) == 1
    assert manifest.repairs == (
        "forged periods of no length left out: 1 entry, such as test/000472.mp4",
        "n_fakes is not the number of forged periods listed; the list used: 1 entry, such as test/000472.mp4",
    )


def test_a_fault_of_many_entries_is_one_line(tmp_path: Path) -> None:
    (said,) = read_lavdf(dataset(tmp_path, [entry(file=f"test/{i:06d}.mp4", n_fakes=2) for i in range(1200)])).repairs
    assert said == (
        "n_fakes is not the number of forged periods listed; the list used: 1,200 entries, "
        "such as test/000000.mp4, test/000001.mp4, test/000002.mp4"
    )


def test_another_name_of_the_dev_split_is_understood(tmp_path: Path) -> None:
    manifest = read_lavdf(dataset(tmp_path, [entry(split="valid"), real()]))
    assert manifest.videos[0].split == "dev"
    assert manifest.repairs == ("split 'valid' read as 'dev': 1 entry, such as test/000472.mp4",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration": "long"}, r"metadata.min.json\[1\].*duration must be seconds.*'long'"),
        ({"duration": 0}, "more than 0 s"),
        ({"duration": True}, "duration"),
        ({"split": "trian"}, r"split must be one of train, dev, test, got 'trian' \(did you mean 'train'\?\)"),
        ({"file": "../outside.mp4"}, "not a path below"),
        ({"file": "/etc/passwd"}, "not a path below"),
        ({"file": 7}, "'file' must be text, got 7"),
        ({"fake_periods": [[2.0, 1.0]]}, r"fake_periods\[0\] ends before it starts"),
        ({"fake_periods": [[1.0]]}, r"must be \[start, end\]"),
        ({"fake_periods": [[-1.0, 1.0]]}, "0 or more"),
        ({"fake_periods": None}, "'fake_periods' must be a list"),
        ({"modify_video": 1}, "'modify_video' must be true or false, got 1"),
        ({"modify_video": False}, "needs both a period and a stream"),
        ({"video_frames": 2.5}, "'video_frames' must be a whole number"),
        ({"audio_frames": -1}, "cannot be negative"),
        ({"original": 3}, "'original' must be text"),
    ],
)
def test_a_wrong_entry_is_named_by_its_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    dataset(tmp_path, [real()])
    (tmp_path / "metadata.min.json").write_text(json.dumps([real(), entry(**changes)]))
    with pytest.raises(ValueError, match=message) as caught:
        read_lavdf(tmp_path)
    assert "metadata.min.json[1]" in str(caught.value)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    incomplete = entry()
    del incomplete["modify_audio"]
    with pytest.raises(ValueError, match=r"metadata.min.json\[0\] \(test/000472.mp4\) has no 'modify_audio'"):
        read_lavdf(dataset(tmp_path, [incomplete]))


def test_a_wrong_layout_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_lavdf(tmp_path / "nowhere")
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ValueError, match="is a file"):
        read_lavdf(tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match=r"only clip.mp4\..*'generic'"):
        read_lavdf(tmp_path)
    (tmp_path / "train_metadata.json").touch()
    with pytest.raises(ValueError, match="looks like AV-Deepfake1M"):
        read_lavdf(tmp_path)
    dataset(tmp_path / "inside", [entry()])
    with pytest.raises(ValueError, match=r"did you mean .*inside"):
        read_lavdf(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"file": "a.mp4", "fake_periods": []}}', "looks like TVIL; use the name 'tvil'"),
        ('{"a.mp4": {"label": "FAKE"}}', "looks like DFDC; use the name 'dfdc'"),
        ("3", "must be a list with one object for each video, but it starts with '3'"),
        ("", "but it starts with 'nothing'"),
        ("[]", "an empty list"),
        ("[", "not valid JSON.*cut short"),
        ("[3]", r"\[0\] must be an object"),
    ],
)
def test_broken_metadata(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "metadata.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_lavdf(tmp_path)


def test_a_partial_copy_is_read_and_one_without_videos_refused(tmp_path: Path) -> None:
    dataset(tmp_path, [entry(), real()])
    (tmp_path / "test/000472.mp4").unlink()
    manifest = read_lavdf(tmp_path)
    assert len(manifest.videos) == 2
    (said,) = manifest.repairs
    assert said.startswith("1 of 1 files looked for in the test split are absent, such as test/000472.mp4; `iamsb")
    (tmp_path / "train/000001.mp4").unlink()
    with pytest.raises(ValueError, match="none of the 2 looked for is there"):
        read_lavdf(tmp_path)


def streams(root: Path, audio: list[dict[str, Any]], visual: list[dict[str, Any]]) -> None:
    videos = {"test/000472.mp4": {"audio": audio, "visual": visual, "identity": "ann"}}
    (root / "metadata.streams.json").write_text(json.dumps({"format": STREAMS_FORMAT, "videos": videos}))


def test_the_truth_of_each_stream_is_used_where_it_is_there(tmp_path: Path) -> None:
    dataset(tmp_path, [entry(fake_periods=[[1.0, 1.5], [3.0, 3.4]], n_fakes=2, modify_audio=True)])
    streams(tmp_path, [{"start": 3.0, "end": 3.4, "method": "vocoder"}], [{"start": 1.0, "end": 1.5}])
    video = read_lavdf(tmp_path).videos[0]
    assert video.truth(Modality.AUDIO).tolist() == [[3.0, 3.4]]
    assert video.truth(Modality.VISUAL).tolist() == [[1.0, 1.5]]
    assert video.identity == "ann"
    assert video.generator == "audio:vocoder+visual:unknown"


def test_streams_that_contradict_the_metadata_are_refused(tmp_path: Path) -> None:
    dataset(tmp_path, [entry()])
    streams(tmp_path, [], [{"start": 1.5, "end": 2.5}])
    with pytest.raises(ValueError, match=r"fake_periods are .*2.25.*but metadata.streams.json has .*2.5"):
        read_lavdf(tmp_path)
    (tmp_path / "metadata.streams.json").write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="must be of format"):
        read_lavdf(tmp_path)


def test_an_unknown_dataset_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'lavd' \(did you mean 'lavdf'\?\); known are av-deepfake1m, .*, lavdf"):
        read_dataset("lavd", tmp_path)
    assert read_dataset("demo", dataset(tmp_path, [entry()])).name == "demo"
