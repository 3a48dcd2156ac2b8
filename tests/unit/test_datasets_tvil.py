"""TVIL by hand, streaming of metadata files, and what a folder of another dataset is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.datasets import json_stream
from iamsb_core.datasets.json_stream import kind_of_json, stream_list, stream_object
from iamsb_core.datasets.layouts import TITLES, layout_of
from iamsb_core.datasets.registry import READERS, read_dataset
from iamsb_core.manifest import Forgery, Modality
from iamsb_core.timeline import Segment


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "file": "5ef6573a99.mp4",
        "split": "valid",
        "duration": 6.0,
        "fps": 30,
        "fake_periods": [[1.0, 2.5]],
        "n_fakes": 1,
        **changes,
    }


def tvil(root: Path, entries: dict[str, Any], media: str = "{split}/{file}", metadata: str = "annotations") -> Path:
    for one in entries.values():
        path = root / media.format(**one)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (root / metadata).mkdir(exist_ok=True)
    (root / metadata / "metadata.json").write_text(json.dumps(entries))
    return root


def test_tvil_by_hand(tmp_path: Path) -> None:
    real = entry(file="0000000000.mp4", split="test", fake_periods=[], n_fakes=0)
    manifest = read_dataset("tvil", tvil(tmp_path, {"5ef6573a99": entry(), "0000000000": real}))
    forged, genuine = manifest.videos
    assert (forged.video_id, forged.path, forged.split) == ("5ef6573a99.mp4", Path("valid/5ef6573a99.mp4"), "dev")
    assert (forged.duration_seconds, forged.label) == (6.0, "segments")
    assert forged.forgeries == (Forgery(Segment(1.0, 2.5), Modality.VISUAL),)
    assert (genuine.split, genuine.is_forged) == ("test", False)
    assert manifest.repairs == ("videos of 'valid' read as the split dev: 1",)


@pytest.mark.parametrize("media", ["{split}/{file}", "{file}", "videos/{split}/{file}", "videos/{file}"])
@pytest.mark.parametrize("metadata", ["annotations", "."])
def test_the_videos_are_found_where_they_lie(tmp_path: Path, media: str, metadata: str) -> None:
    manifest = read_dataset("tvil", tvil(tmp_path, {"a": entry()}, media, metadata))
    assert manifest.videos[0].path.as_posix() == media.format(**entry())


def test_what_is_mended_in_tvil(tmp_path: Path) -> None:
    manifest = read_dataset("tvil", tvil(tmp_path, {"a": entry(fake_periods=[[1, 1], [2, 3]], n_fakes=3)}))
    assert manifest.videos[0].forgeries == (Forgery(Segment(2, 3), Modality.VISUAL),)
    assert [text.split(":")[0] for text in manifest.repairs[1:]] == [
        "forged periods of no length left out",
        "n_fakes is not the number of forged periods listed; the list used",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "training"}, r"metadata.json\['a'\]: split must be one of"),
        ({"file": "/etc/passwd"}, "not a path below"),
        ({"duration": 0}, "more than 0 s"),
        ({"duration": None}, "must be seconds"),
        ({"fake_periods": [[3, 2]]}, "ends before it starts"),
    ],
)
def test_a_wrong_entry_of_tvil_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    tvil(tmp_path, {"a": entry()})
    (tmp_path / "annotations/metadata.json").write_text(json.dumps({"a": entry(**changes)}))
    with pytest.raises(ValueError, match=message):
        read_dataset("tvil", tmp_path)


@pytest.mark.parametrize(
    ("name", "sign", "text"),
    [
        ("lavdf", "metadata.min.json", "[]"),
        ("lavdf", "metadata.json", "[]"),
        ("tvil", "metadata.json", '{"a": {"fake_periods": []}}'),
        ("tvil", "annotations/metadata.json", "{}"),
        ("av-deepfake1m", "train_metadata.json", "[]"),
        ("av-deepfake1m", "test_files.txt", ""),
        ("av-deepfake1m-plusplus", "val_metadata.json", '[{"video_model": "x"}]'),
        ("av-deepfake1m-plusplus", "testB_files.txt", ""),
        ("ddl-av", "val_metadata_workshop/x.json", "{}"),
        ("fakeavceleb", "meta_data.csv", ""),
        ("fakeavceleb", "RealVideo-RealAudio/x.mp4", ""),
        ("dfdc", "dfdc_train_part_7/metadata.json", "{}"),
        ("dfdc", "validation/labels.csv", ""),
        ("dfdc", "metadata.json", '{"a.mp4": {"label": "REAL"}}'),
        ("dfdc-preview", "dataset.json", "{}"),
        ("generic", "manifest.csv", ""),
        (None, "video.mp4", ""),
    ],
)
def test_layouts_are_told_apart(tmp_path: Path, name: str | None, sign: str, text: str) -> None:
    (tmp_path / sign).parent.mkdir(exist_ok=True)
    (tmp_path / sign).write_text(text)
    assert layout_of(tmp_path) == name


@pytest.mark.parametrize("name", sorted(set(TITLES) - {"generic", "av-deepfake1m"}))
def test_every_reader_names_the_dataset_that_is_there(tmp_path: Path, name: str) -> None:
    assert set(TITLES) | {"demo"} == set(READERS)
    (tmp_path / "test_files.txt").touch()
    with pytest.raises(ValueError, match=r"AV-Deepfake1M.*use the name 'av-deepfake1m'"):
        read_dataset(name, tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        read_dataset(name, tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file, not a folder"):
        read_dataset(name, tmp_path / "file")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(values=st.lists(VALUES), window=st.integers(1, 40), indent=st.sampled_from([None, 1]))
def test_a_stream_gives_what_the_whole_file_gives(tmp_path_factory, values, window, indent) -> None:
    path = tmp_path_factory.mktemp("stream") / "x.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_READ_BYTES", window)
        path.write_text(json.dumps(values, indent=indent, ensure_ascii=False))
        assert list(stream_list(path)) == values
        members = {str(i): value for i, value in enumerate(values)}
        path.write_text(json.dumps(members, indent=indent))
        assert dict(stream_object(path)) == members


@pytest.mark.parametrize("text", ["[1, 2", "[1 2]", "[1,]", '[{"a": 1}, {"b"', "[1, 2]]"[:5], '["' + "x" * 50])
def test_a_broken_list_is_told_after_what_could_be_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json is not valid JSON \(.*after character \d+\).*fetch it again"):
        list(stream_list(path))


def test_a_broken_object_and_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ('{"a" 1}', "{1: 2}", '{"a": 1'):
        path.write_text(text)
        with pytest.raises(ValueError, match="is not valid JSON"):
            list(stream_object(path))
    path.write_bytes(b'["\xff\xfe"]')
    with pytest.raises(ValueError, match="may be damaged"):
        list(stream_list(path))
    assert kind_of_json(path) == "other"
    assert kind_of_json(tmp_path / "nowhere") == "other"
