"""Telling the layouts of the benchmarks apart by a few names in the root, to help where the wrong one was given."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from iamsb_core.datasets.json_stream import kind_of_json
from iamsb_core.datasets.media_files import listing

TITLES = {
    "lavdf": "LAV-DF",
    "tvil": "TVIL",
    "av-deepfake1m": "AV-Deepfake1M",
    "av-deepfake1m-plusplus": "AV-Deepfake1M++",
    "ddl-av": "DDL-AV",
    "fakeavceleb": "FakeAVCeleb",
    "dfdc": "DFDC",
    "dfdc-preview": "the DFDC preview",
    "generic": "a manifest of your own",
}
FAKEAVCELEB_TYPES = ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")
_LISTS_OF_1M = frozenset({"train_metadata.json", "val_metadata.json"})
_SIGNS = (
    ("generic", {"manifest.csv", "manifest.jsonl"}),
    ("av-deepfake1m-plusplus", {"testA_files.txt", "testB_files.txt"}),
    ("ddl-av", {"train_metadata_workshop", "val_metadata_workshop"}),
    ("av-deepfake1m", {*_LISTS_OF_1M, "train_metadata", "val_metadata", "test_files.txt"}),
    ("fakeavceleb", {"meta_data.csv", *FAKEAVCELEB_TYPES}),
    ("dfdc", {"dfdc_train_part_0", "dfdc_train_part_00", "train_sample_videos"}),
)
"""what only one dataset has in its root; the first that fits"""
_PEEK_CHARACTERS = 4096


def layout_of(root: Path) -> str | None:
    """The name of the dataset whose layout the folder has; None where it has no known one."""
    if not root.is_dir():
        return None
    has = {path.name for path in root.iterdir()}
    by_names = next((name for name, signs in _SIGNS if has & signs), None)
    if by_names == "av-deepfake1m" and any('"video_model"' in _peek(root / name) for name in has & _LISTS_OF_1M):
        return "av-deepfake1m-plusplus"
    return by_names or _layout_of_metadata(root, has)


def refuse_layout(root: Path, name: str, expected: str) -> NoReturn:
    """Raises ValueError for a folder that has not the layout of the dataset of this name; it says what it has.

    `expected`: a sentence about what the layout is.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise ValueError(f"{root} {what}; give the folder that holds the dataset's metadata. {expected}")
    found = layout_of(root)
    inside = [path for path in sorted(root.iterdir()) if path.is_dir() and layout_of(path) == name]
    if inside:
        way_out = f"did you mean {inside[0]}?"
    elif found is not None and found != name:
        way_out = f"this looks like {TITLES[found]}; use the name '{found}'"
    else:
        way_out = "for a folder of videos, or a manifest of your own, use the name 'generic'"
    raise ValueError(f"no metadata of {TITLES[name]} in {root}, only {listing(root)}. {expected}; {way_out}")


def _layout_of_metadata(root: Path, has: set[str]) -> str | None:
    """Layouts that call their file metadata.json, and those whose signs are in folders of the root."""
    if "dataset.json" in has and kind_of_json(root / "dataset.json") == "object":
        return "dfdc-preview"
    parts = any(name.startswith("dfdc_train_part") for name in has)
    if parts or any((root / split / "labels.csv").is_file() for split in ("validation", "test")):
        return "dfdc"
    for path in (root / "metadata.min.json", root / "metadata.json"):
        if path.is_file():
            if kind_of_json(path) != "object":
                return "lavdf"
            return "dfdc" if '"label"' in _peek(path) else "tvil"
    if (root / "annotations" / "metadata.json").is_file():
        return "tvil"
    return None


def _peek(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_PEEK_CHARACTERS)
