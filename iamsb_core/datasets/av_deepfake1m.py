"""Readers of AV-Deepfake1M (Cai et al., ACM MM 2024) and AV-Deepfake1M++ (2025), in their own layout.

    train_metadata.json, val_metadata.json     one object for each video
    train/, val/                               <person>/<youtube id>/<clip>/<kind>.mp4
    test_files.txt, test/                      (++: testA_files.txt, testB_files.txt, testA/, testB/) no labels

Where `<split>_metadata.json` was not fetched, the objects are read one by one from `<split>_metadata/` or, as ++ has
them, from beside the videos. `val` is the split `dev`. A video's id is the `file` of its entry, as the official
evaluator wants it, and the name of a test file of ++ has its folder before it, since both test sets count from 0. The
labels of the test sets are with the organisers: those videos have the label `none`, unless `test_metadata.json` is
there, as the forgery builder writes it. People of train and val overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iamsb_core.datasets.assembly import assemble
from iamsb_core.datasets.fields import load_json, require
from iamsb_core.datasets.json_stream import stream_list
from iamsb_core.datasets.layouts import TITLES, layout_of, refuse_layout
from iamsb_core.datasets.media_files import safe_relative_path
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.datasets.segment_entries import EntryReader
from iamsb_core.manifest import Manifest, Split, VideoRecord

_LABELLED: dict[str, Split] = {"train": "train", "val": "dev"}
_TEST_FOLDERS = {"av-deepfake1m": ("test",), "av-deepfake1m-plusplus": ("testA", "testB")}
_LAYOUT = "It has train_metadata.json and val_metadata.json, train/, val/ and lists of test files in its root"


def read_av_deepfake1m(root: Path, *, name: str = "av-deepfake1m") -> Manifest:
    """The manifest of an AV-Deepfake1M folder (or, by its name, of an AV-Deepfake1M++ one), as far as it is there.

    Files that are listed but absent stay in the manifest (validation counts them), unless none at all is there.
    Raises ValueError for a folder of another layout, or an entry that is not as the benchmark defines it.
    """
    root = root.expanduser().absolute()
    if (found := layout_of(root)) in _TEST_FOLDERS and found != name:
        raise ValueError(f"{root} holds {TITLES[found or '']}, not {TITLES[name]}; use the name '{found}'")
    repairs = Repairs()
    reader = EntryReader(repairs)
    videos: list[VideoRecord] = []
    for folder, split in _LABELLED.items():
        for entry, where in _entries(root, folder):
            videos.append(_record(entry, where, folder, split, reader))
    for folder in _TEST_FOLDERS[name]:
        if (root / f"{folder}_metadata.json").is_file():
            videos += [_record(entry, where, folder, "test", reader) for entry, where in _entries(root, folder)]
        else:
            videos += _test_videos(root, folder, prefixed=len(_TEST_FOLDERS[name]) > 1)
    if not videos:
        refuse_layout(root, name, _LAYOUT)
    return assemble(name, root, videos, repairs, root, dev_name="val")


def read_av_deepfake1m_plusplus(root: Path) -> Manifest:
    """The manifest of an AV-Deepfake1M++ folder; as `read_av_deepfake1m`."""
    return read_av_deepfake1m(root, name="av-deepfake1m-plusplus")


def _entries(root: Path, folder: str) -> Iterator[tuple[Any, str]]:
    """The objects of one split, each with its place for messages."""
    whole = root / f"{folder}_metadata.json"
    if whole.is_file():
        for number, entry in enumerate(stream_list(whole)):
            yield entry, f"{whole.name}[{number}]"
        return
    for place in (root / f"{folder}_metadata", root / folder):
        for path in sorted(place.rglob("*.json")):
            yield load_json(path), path.relative_to(root).as_posix()


def _record(entry: Any, where: str, folder: str, split: Split, reader: EntryReader) -> VideoRecord:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    file = require(entry, "file", str, where)
    return reader.record(
        entry,
        f"{where} ({file})",
        video_id=file,
        path=safe_relative_path(f"{folder}/{file}", where),
        split=split,
        identity=file.split("/", 1)[0] if "/" in file else None,
    )


def _test_videos(root: Path, folder: str, *, prefixed: bool) -> Iterator[VideoRecord]:
    """The videos of a list of test files: nothing is known of them but their names."""
    listed = root / f"{folder}_files.txt"
    if not listed.is_file():
        return
    with listed.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            file = line.strip()
            if not file:
                continue
            path = safe_relative_path(f"{folder}/{file}", f"{listed.name}:{number}")
            video_id = f"{folder}/{file}" if prefixed else file
            yield VideoRecord(video_id=video_id, path=path, split="test", duration_seconds=None, label="none")
