"""Manifests of one's own, and folders without any."""

from __future__ import annotations

from pathlib import Path

import pytest

from iamsb_core.datasets.generic import read_generic
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.manifest import Modality

CSV = """path,split,start,end,modality,identity,duration
a.mp4,train,0.5,1.0,audio,ann,4
a.mp4,train,2.0,2.5,both,ann,4
b.mp4,dev,,,,bob,
"""
JSONL = """
{"path": "a.mp4", "split": "train", "identity": "ann", "duration": 4, "forgeries": [
 {"start": 0.5, "end": 1.0, "modality": "audio"}, {"start": 2.0, "end": 2.5, "modality": "both"}]}
{"path": "b.mp4", "split": "dev", "identity": "bob"}
""".replace("[\n", "[")


@pytest.mark.parametrize(("name", "text"), [("manifest.csv", CSV), ("manifest.jsonl", JSONL)])
def test_both_forms_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    first, second = read_generic(tmp_path).videos
    assert (first.video_id, first.split, first.identity, first.duration_seconds) == ("a.mp4", "train", "ann", 4.0)
    assert first.truth(Modality.AUDIO).tolist() == [[0.5, 1.0], [2.0, 2.5]]
    assert first.truth(Modality.VISUAL).tolist() == [[2.0, 2.5]]
    assert (second.split, second.duration_seconds, second.is_forged) == ("dev", None, False)


def test_a_manifest_may_be_named_and_must_be_when_there_are_two(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("path\nx.mp4\n")
    assert read_generic(tmp_path / "mine.csv").videos[0].split == "test"
    (tmp_path / "manifest.csv").write_text(CSV)
    (tmp_path / "manifest.jsonl").write_text(JSONL)
    with pytest.raises(ValueError, match="holds both"):
        read_generic(tmp_path)


def test_a_folder_without_manifest_gives_every_media_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.MP4", "a.webm", "sub/c.mov", "notes.txt", ".hidden.mp4", "sound.wav"):
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    manifest = read_generic(tmp_path)
    assert [video.video_id for video in manifest.videos] == ["a.webm", "b.MP4", "sound.wav", "sub/c.mov"]
    assert {(video.split, video.label) for video in manifest.videos} == {("test", "none")}


DEFAKEAVMIT = """path,split,label,modality,identity,generator
real/fadg0_sa1.mp4,train,clip,,fadg0,
fake/fadg0_sa1_wav2lip.mp4,train,clip,visual,fadg0,wav2lip
fake/fadg0_sa1_sv2tts.mp4,dev,clip,audio,fadg0,sv2tts
fake/fadg0_sa1_both.mp4,test,clip,both,fadg0,wav2lip+sv2tts
fake/of_unknown_make.mp4,test,clip,either,,
hidden/1.mp4,test,none,,,
"""
SAME_IN_JSONL = """
{"path": "real/fadg0_sa1.mp4", "split": "train", "label": "clip", "identity": "fadg0"}
{"path": "fake/fadg0_sa1_wav2lip.mp4", "split": "train", "label": "clip", "modality": "visual", "identity": "fadg0",
 "generator": "wav2lip"}
{"path": "fake/fadg0_sa1_sv2tts.mp4", "split": "dev", "label": "clip", "modality": "audio", "identity": "fadg0",
 "generator": "sv2tts"}
{"path": "fake/fadg0_sa1_both.mp4", "label": "clip", "modality": "both", "identity": "fadg0",
 "generator": "wav2lip+sv2tts"}
{"path": "fake/of_unknown_make.mp4", "label": "clip", "modality": "either"}
{"path": "hidden/1.mp4", "label": "none"}
""".replace(",\n ", ", ")


@pytest.mark.parametrize(("name", "text"), [("manifest.csv", DEFAKEAVMIT), ("manifest.jsonl", SAME_IN_JSONL)])
def test_clips_labelled_as_a_whole_such_as_defakeavmits(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    manifest = read_dataset("generic", tmp_path)
    real, visual, audio, both, either, hidden = manifest.videos
    assert [(video.label, video.is_forged) for video in manifest.videos] == [
        ("clip", False),
        *[("clip", True)] * 4,
        ("none", False),
    ]
    assert (visual.split, visual.identity, visual.generator) == ("train", "fadg0", "wav2lip")
    assert (audio.split, audio.forged_streams, both.split) == ("dev", Modality.AUDIO, "test")
    assert visual.truth(Modality.VISUAL, duration_seconds=2.0).tolist() == [[0, 2]]
    assert visual.truth(Modality.AUDIO).shape == real.truth().shape == (0, 2)
    assert (both.streams_told_apart, either.streams_told_apart) == (True, False)
    assert not hidden.is_labelled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,split\na.mp4,train\n", "no column 'path', only file, split"),
        ("path,strat\na.mp4,1\n", r"unknown field 'strat' \(did you mean 'start'\?\)"),
        ("path,start,end,modality\na.mp4,1,x,audio\n", "manifest.csv:2: end must be seconds, got 'x'"),
        ("path,start,end,modality\na.mp4,1,nan,audio\n", "0 or more"),
        ("path,start,end,modality\na.mp4,1,,audio\n", "has no 'end'"),
        ("path,start,end,modality\na.mp4,2,1,audio\n", "ends before it starts"),
        ("path,start,end,modality\na.mp4,1,1,audio\n", "has no length"),
        ("path,start,end,modality\na.mp4,1,2,visul\n", r"got 'visul' \(did you mean 'visual'\?\)"),
        ("path,split\na.mp4,train\na.mp4,test\n", "another 'split' of the same video"),
        ("path,split\na.mp4,trian\n", r"got 'trian' \(did you mean 'train'\?\)"),
        ("path\n../a.mp4\n", "not a path below"),
        ("path\n", "lists no video"),
        (
            "path,label\na.mp4,clips\n",
            r"label must be one of segments, clip, none, got 'clips' \(did you mean 'clip'\?",
        ),
        ("path,label,modality\na.mp4,clip,sound\n", "one of audio, visual, both, either, got 'sound'"),
        ("path,label,modality\na.mp4,clip,audio\na.mp4,clip,visual\n", "another modality of the same clip"),
        ("path,modality\na.mp4,audio\n", "has no 'start'"),
        ("path,label,start,end,modality\na.mp4,clip,1,2,audio\n", "label 'clip' has no segments"),
        ("path,label,start,end,modality\na.mp4,none,1,2,audio\n", "label 'none' has no segments"),
    ],
)
def test_a_wrong_row_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_generic(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "manifest.jsonl:1 is not a JSON object"),
        ("[]", "must be an object"),
        ('{"split": "train"}', "has no 'path'"),
        ('{"path": "a.mp4", "forgeries": 3}', "'forgeries' must be a list"),
        ('{"path": "a.mp4", "modality": "audio"}', "for a whole clip, give it the label 'clip'"),
        ('{"path": "a.mp4", "forgery": []}', r"did you mean 'forgeries'\?"),
    ],
)
def test_a_wrong_line_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_generic(tmp_path)


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(ValueError, match=r"no media file in .*only readme.txt"):
        read_generic(tmp_path)
    with pytest.raises(ValueError, match=r"is not a \.csv or \.jsonl manifest"):
        read_generic(tmp_path / "readme.txt")
    with pytest.raises(ValueError, match="does not exist"):
        read_generic(tmp_path / "gone")
