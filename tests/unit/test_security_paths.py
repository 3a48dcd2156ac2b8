"""Paths that would lead out: in every benchmark's metadata, in manifests, through links, and out of an export."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iamsb_core.datasets.containment import LINKED_VARIABLE, Enclosure, linked_folders
from iamsb_core.datasets.registry import READERS, read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.manifest import Manifest, VideoRecord
from iamsb_core.media.clip import DecodeError
from iamsb_core.metrics.prediction_files import read_predictions
from storage.export import _bases
from storage.media_index import MediaIndex
from tasks.probing import probe_dataset

LEADING_OUT = ("../secret.mp4", "a/../../secret.mp4", "/etc/passwd", "..", "..\\secret.mp4", "a\0b.mp4", "{root}/a.mp4")
SEGMENTS = {"modify_type": "real", "audio_fake_segments": [], "visual_fake_segments": [], "video_frames": 100}


def lavdf(root: Path, path: str) -> None:
    entry = {"file": path, "split": "train", "duration": 4.0, "n_fakes": 0, "fake_periods": [], "video_frames": 100}
    entry |= {"audio_channels": 1, "audio_frames": 64000, "modify_audio": False, "modify_video": False}
    (root / "metadata.min.json").write_text(json.dumps([entry]))


def tvil(root: Path, path: str) -> None:
    entry = {"file": path, "split": "train", "duration": 4.0, "fake_periods": [], "n_fakes": 0, "fps": 25}
    (root / "metadata.json").write_text(json.dumps({"a": entry}))


def av_deepfake1m(root: Path, path: str) -> None:
    (root / "train_metadata.json").write_text(json.dumps([{"file": path, **SEGMENTS}]))


def list_of_test_files(root: Path, path: str) -> None:
    (root / "test_files.txt").write_text(f"{path}\n")


def av_deepfake1m_plusplus(root: Path, path: str) -> None:
    (root / "testA_files.txt").write_text(f"{path}\n")


def ddl_av(root: Path, path: str) -> None:
    folder = root / "train_metadata_workshop"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"file": path, **SEGMENTS}))


def fakeavceleb(root: Path, path: str) -> None:
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(["source", "target1", "target2", "method", "category", "type", "race", "gender", "path", ""])
    writer.writerow([path, "-", "-", "real", "A", "RealVideo-RealAudio", "African", "men", "a.mp4", "x"])
    (root / "meta_data.csv").write_text(rows.getvalue())


def dfdc(root: Path, path: str) -> None:
    part = root / "dfdc_train_part_0"
    part.mkdir()
    (part / "metadata.json").write_text(json.dumps({path: {"label": "REAL", "split": "train"}}))


def dfdc_preview(root: Path, path: str) -> None:
    entry = {"label": "real", "set": "train", "target_id": 1, "swapped_id": None}
    (root / "dataset.json").write_text(json.dumps({path: entry}))


def manifest_csv(root: Path, path: str) -> None:
    (root / "manifest.csv").write_text(f'path,split\n"{path}",train\n', newline="")


def manifest_jsonl(root: Path, path: str) -> None:
    (root / "manifest.jsonl").write_text(json.dumps({"path": path}) + "\n")


LAYOUTS: dict[str, tuple[str, Callable[[Path, str], None]]] = {
    "lavdf": ("lavdf", lavdf),
    "demo": ("demo", lavdf),
    "tvil": ("tvil", tvil),
    "av-deepfake1m": ("av-deepfake1m", av_deepfake1m),
    "av-deepfake1m test list": ("av-deepfake1m", list_of_test_files),
    "av-deepfake1m-plusplus": ("av-deepfake1m-plusplus", av_deepfake1m_plusplus),
    "ddl-av": ("ddl-av", ddl_av),
    "fakeavceleb": ("fakeavceleb", fakeavceleb),
    "dfdc": ("dfdc", dfdc),
    "dfdc-preview": ("dfdc-preview", dfdc_preview),
    "generic csv": ("generic", manifest_csv),
    "generic jsonl": ("generic", manifest_jsonl),
}


def test_every_reader_is_here():
    assert {name for name, _ in LAYOUTS.values()} == set(READERS)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("path", LEADING_OUT)
def test_metadata_cannot_name_what_lies_outside(layout: str, path: str, tmp_path: Path):
    name, write = LAYOUTS[layout]
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    given = path.format(root=root)
    if layout == "fakeavceleb" and "/" in given and not given.startswith(("/", "..")):
        given = ".."  # there a person's name is one part of the path
    if layout == "generic csv" and "\0" in given:
        pytest.skip("a CSV with a null character is refused by the reader of CSV")
    write(root, given)
    manifest = None
    with contextlib.suppress(ValueError):
        manifest = read_dataset(name, root)
    if manifest is None:
        with pytest.raises(ValueError, match=r"is not a path below the dataset's root|none of the \d+ looked for"):
            read_dataset(name, root)
        return
    places = [(root / video.path).resolve() for video in manifest.videos]
    assert all(root in place.parents for place in places), "absolute parts may only be read as names below the root"


def video(path: str) -> VideoRecord:
    return VideoRecord(video_id=path, path=Path(path), split="train", duration_seconds=None, label="none")


@pytest.fixture
def linked(tmp_path: Path) -> Manifest:
    """A dataset with a file of its own, links inside, and links out: of a file, a folder, and a link to a link."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "own", outside / "deep"):
        folder.mkdir(parents=True)
    (root / "own" / "a.mp4").write_bytes(b"own")
    (root / "inside.mp4").symlink_to(root / "own" / "a.mp4")
    (root / "again").symlink_to(root / "own")
    for name in ("secret.mp4", "deep/b.mp4"):
        (outside / name).write_bytes(b"secret")
    (root / "file.mp4").symlink_to(outside / "secret.mp4")
    (root / "relative.mp4").symlink_to("../outside/secret.mp4")
    (root / "folder").symlink_to(outside)
    (root / "own" / "hop").symlink_to(root / "folder" / "deep")
    names = ("own/a.mp4", "inside.mp4", "again/a.mp4", "file.mp4", "relative.mp4", "folder/secret.mp4", "own/hop/b.mp4")
    return Manifest("test", root, tuple(map(video, names)))


OUT = {"file.mp4", "relative.mp4", "folder/secret.mp4", "own/hop/b.mp4"}


def test_what_lies_behind_links_out_of_the_root_is_not_read(linked: Manifest, tmp_path: Path):
    index = MediaIndex(tmp_path / "media.sqlite")
    found = index.fingerprint(linked.root, linked.videos)
    assert set(found.unreadable) == OUT
    assert {one.video_id for one in found.videos if one.media_sha256 is None} == OUT
    assert f"to {tmp_path / 'outside' / 'secret.mp4'}; copy it in, or name" in found.unreadable["file.mp4"]
    probes = probe_dataset(linked, index, num_threads=1)
    refused = {name for name, probe in probes.items() if isinstance(probe, DecodeError) and "link out" in str(probe)}
    assert refused == OUT


def test_a_folder_that_the_user_names_may_be_linked_to(
    linked: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(LINKED_VARIABLE, f"/nowhere:{tmp_path / 'outside' / 'deep'}")
    found = MediaIndex(tmp_path / "media.sqlite").fingerprint(linked.root, linked.videos)
    assert set(found.unreadable) == OUT - {"own/hop/b.mp4"}
    monkeypatch.setenv(LINKED_VARIABLE, str(tmp_path / "outside"))
    assert MediaIndex(tmp_path / "media.sqlite").fingerprint(linked.root, linked.videos).unreadable == {}
    monkeypatch.setenv(LINKED_VARIABLE, str(tmp_path / "outs"))
    assert linked_folders() == (tmp_path / "outs",)
    assert Enclosure(linked.root).outside(linked.root / "file.mp4"), "a name that only begins alike is another folder"


def test_the_root_itself_may_be_a_link(linked: Manifest, tmp_path: Path):
    (tmp_path / "here").symlink_to(linked.root)
    found = MediaIndex(tmp_path / "media.sqlite").fingerprint(tmp_path / "here", linked.videos)
    assert set(found.unreadable) == OUT


def test_the_check_of_a_dataset_tells_of_links_out(linked: Manifest):
    (told,) = [one for one in validate(linked).findings if one.kind == "link_out_of_root"]
    expected = {"file.mp4", "relative.mp4", "folder", "own/hop", "again/hop"}
    assert {each.where for each in told.instances} == expected
    assert LINKED_VARIABLE in told.advice


def test_exported_features_stay_in_their_folder(tmp_path: Path):
    names = ["../../a.mp4", "/etc/b.mp4", "..", "c/../../d.mp4", "./e.mp4", "//f.mp4"]
    for base in _bases([video(name) for name in names]).values():
        assert tmp_path in (tmp_path / f"{base}.audio.npy").resolve().parents


def test_a_prediction_names_clips_and_no_files(tmp_path: Path):
    """What a prediction file or a submission calls its clips is looked up among the labels, never on the disk."""
    rows: dict[str, Any] = {name: [[0.9, 0.0, 1.0]] for name in ("../../a.mp4", "/etc/passwd", "a.mp4")}
    (tmp_path / "predictions.json").write_text(json.dumps(rows))
    found = read_predictions(tmp_path / "predictions.json")
    assert set(found.clips) == set(rows)
