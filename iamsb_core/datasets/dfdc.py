"""Readers of DFDC (Dolhansky et al. 2020) and of its preview (Dolhansky et al. 2019), in the layouts they came in.

DFDC: `dfdc_train_part_N/metadata.json` is an object from file names to label (FAKE, REAL), split and original; a part
may lie in a folder of its own name or below `train/`, and Kaggle's `train_sample_videos` and a single part are read
too. `validation/labels.csv` and `test/labels.csv` (filename, label 0 or 1) are the splits dev and test. A fake may be a
swapped face, a swapped voice or both, and the labels do not say which: such clips are scored as a whole.

Preview: `dataset.json` is an object from paths (`method_A/...`, `original_videos/...`) to label, set (train, test),
target_id and swapped_id. Its fakes are swapped faces. DFDC and its preview are different sets.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from iamsb_core.datasets.assembly import assemble
from iamsb_core.datasets.fields import optional_text, require, split_of
from iamsb_core.datasets.json_stream import kind_of_json, stream_object
from iamsb_core.datasets.layouts import layout_of, refuse_layout
from iamsb_core.datasets.media_files import safe_relative_path
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.manifest import NO_STREAM, Manifest, Modality, Split, VideoRecord

_PARTS = (
    "metadata.json",
    "train_sample_videos/metadata.json",
    "dfdc_train_part_*/metadata.json",
    "dfdc_train_part_*/dfdc_train_part_*/metadata.json",
    "train/dfdc_train_part_*/metadata.json",
    "train/dfdc_train_part_*/dfdc_train_part_*/metadata.json",
)
_LABELLED: dict[str, Split] = {"validation": "dev", "test": "test"}
_LABELS = {"FAKE": True, "REAL": False, "1": True, "0": False}
_LAYOUT = "DFDC has dfdc_train_part_N/metadata.json, validation/labels.csv and test/labels.csv in its root"
_PREVIEW_LAYOUT = "The DFDC preview has dataset.json, method_A/, method_B/ and original_videos/ in its root"


def read_dfdc(root: Path, *, name: str = "dfdc") -> Manifest:
    """The manifest of the parts of DFDC that are there. Raises ValueError for another layout or a label unknown."""
    root = root.expanduser().absolute()
    if not root.is_dir() or layout_of(root) not in ("dfdc", None):
        refuse_layout(root, name, _LAYOUT)
    repairs = Repairs()
    videos = [*_train_videos(root), *_labelled_videos(root)]
    if not videos:
        refuse_layout(root, name, _LAYOUT)
    return assemble(name, root, list(_with_originals(videos, repairs)), repairs, root, dev_name="validation")


def _train_videos(root: Path) -> Iterator[VideoRecord]:
    found = {path for pattern in _PARTS for path in root.glob(pattern)}
    for metadata in sorted(found, key=_by_number):
        folder = metadata.parent.relative_to(root)
        for file, entry in stream_object(metadata):
            where = f"{metadata.relative_to(root).as_posix()}[{file!r}]"
            if not isinstance(entry, dict):
                raise ValueError(f"{where} must be an object, got {entry!r:.80}")
            yield _record(
                (folder / file).as_posix(),
                split="train",
                fake=_is_fake(require(entry, "label", str, where), where),
                original=optional_text(entry, "original", where),
                where=where,
            )


def _by_number(path: Path) -> list[tuple[int, str]]:
    """Part 2 before part 10."""
    return [(int(number or -1), text) for text, number in re.findall(r"(\D+)(\d*)", path.as_posix())]


def _labelled_videos(root: Path) -> Iterator[VideoRecord]:
    for folder, split in _LABELLED.items():
        file = root / folder / "labels.csv"
        if not file.is_file():
            continue
        inside = f"{folder}/videos" if (root / folder / "videos").is_dir() else folder
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, skipinitialspace=True)
            if not {"filename", "label"} <= set(rows.fieldnames or ()):
                raise ValueError(f"{file} must have the columns filename and label, got {rows.fieldnames}")
            for row in rows:
                where = f"{folder}/labels.csv:{rows.line_num}"
                fake = _is_fake(row["label"] or "", where)
                yield _record(f"{inside}/{row['filename']}", split=split, fake=fake, original=None, where=where)


def _is_fake(label: str, where: str) -> bool:
    found = _LABELS.get(label.strip().upper())
    if found is None:
        raise ValueError(f"{where}: label must be one of {', '.join(_LABELS)}, got {label!r}")
    return found


def _record(path: str, *, split: Split, fake: bool, original: str | None, where: str) -> VideoRecord:
    return VideoRecord(
        video_id=path,
        path=safe_relative_path(path, where),
        split=split,
        duration_seconds=None,
        original=original if fake else None,
        label="clip",
        forged_streams=Modality.AUDIO | Modality.VISUAL if fake else NO_STREAM,
        streams_told_apart=not fake,
    )


def _with_originals(videos: list[VideoRecord], repairs: Repairs) -> Iterator[VideoRecord]:
    """With the ids of originals in place of their file names; an original may lie in another part, or be absent."""
    ids = {video.path.name: video.video_id for video in videos if not video.is_forged}
    for video in videos:
        if video.original is None:
            yield video
            continue
        if video.original not in ids:
            repairs.add("originals that are not in this copy forgotten", video.video_id)
        yield replace(video, original=ids.get(video.original))


def read_dfdc_preview(root: Path, *, name: str = "dfdc-preview") -> Manifest:
    """The manifest of the DFDC preview. Raises ValueError for another layout, or an entry that is not as above."""
    root = root.expanduser().absolute()
    metadata = root / "dataset.json"
    if kind_of_json(metadata) != "object":
        refuse_layout(root, name, _PREVIEW_LAYOUT)
    videos = [_preview_record(path, entry, f"dataset.json[{path!r}]") for path, entry in stream_object(metadata)]
    if not videos:
        raise ValueError(f"{metadata} lists no video. {_PREVIEW_LAYOUT}")
    return assemble(name, root, videos, Repairs(), metadata)


def _preview_record(path: str, entry: Any, where: str) -> VideoRecord:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    fake = _is_fake(require(entry, "label", str, where), where)
    person = require(entry, "target_id", object, where)
    return VideoRecord(
        video_id=path,
        path=safe_relative_path(path, where),
        split=split_of(require(entry, "set", str, where), where),
        duration_seconds=None,
        identity=None if person is None else str(person),
        generator=path.split("/", 1)[0] if fake else None,
        label="clip",
        forged_streams=Modality.VISUAL if fake else NO_STREAM,
    )
