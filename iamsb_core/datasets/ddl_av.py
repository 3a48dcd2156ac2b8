"""Reader of DDL-AV, the audio-visual track of the DDL challenge (IJCAI 2025), in its own layout.

    train_data/, val_data/                              <real|fake>_audio_<real|fake>_visual/*.mp4
    train_metadata_workshop/, val_metadata_workshop/    one JSON object for each video, in folders

and the test set, flat in a folder of its own: `test/`, `test_data/`, `dataset_test/` or `.dataset_test/` in the root;
its videos have the label `none`. `val` is the split `dev`. A video's id is the `file` of its object.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iamsb_core.datasets.assembly import assemble
from iamsb_core.datasets.fields import load_json, require
from iamsb_core.datasets.layouts import refuse_layout
from iamsb_core.datasets.media_files import VIDEO_SUFFIXES, find_media, safe_relative_path
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.datasets.segment_entries import EntryReader
from iamsb_core.manifest import Manifest, Split, VideoRecord

_LABELLED: dict[str, Split] = {"train": "train", "val": "dev"}
_TEST_FOLDERS = ("test", "test_data", "dataset_test", ".dataset_test")
_LAYOUT = "DDL-AV has train_data/, train_metadata_workshop/, val_data/ and val_metadata_workshop/ in its root"


def read_ddl_av(root: Path, *, name: str = "ddl-av") -> Manifest:
    """The manifest of a DDL-AV folder, as far as it is there.

    Raises ValueError for a folder of another layout, or an entry that is not as the benchmark defines it.
    """
    root = root.expanduser().absolute()
    repairs = Repairs()
    reader = EntryReader(repairs)
    videos = [
        _record(entry, where, folder, split, reader)
        for folder, split in _LABELLED.items()
        for entry, where in _entries(root, folder)
    ]
    if not videos:
        refuse_layout(root, name, _LAYOUT)
    return assemble(name, root, [*videos, *_test_videos(root)], repairs, root, dev_name="val")


def _entries(root: Path, folder: str) -> Iterator[tuple[Any, str]]:
    for path in sorted((root / f"{folder}_metadata_workshop").rglob("*.json")):
        yield load_json(path), path.relative_to(root).as_posix()


def _record(entry: Any, where: str, folder: str, split: Split, reader: EntryReader) -> VideoRecord:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    file = require(entry, "file", str, where)
    path = safe_relative_path(f"{folder}_data/{file}", where)
    return reader.record(entry, f"{where} ({file})", video_id=file, path=path, split=split, identity=None)


def _test_videos(root: Path) -> Iterator[VideoRecord]:
    for folder in _TEST_FOLDERS:
        for file in find_media(root / folder, VIDEO_SUFFIXES) if (root / folder).is_dir() else ():
            path = Path(folder) / file
            yield VideoRecord(video_id=file.name, path=path, split="test", duration_seconds=None, label="none")
