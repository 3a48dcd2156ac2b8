"""What a clip's file is called in each layout."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from iamsb_core.forgery.config import Layout
from iamsb_core.forgery.takes import SourceLength
from iamsb_core.manifest import SPLITS, Split

SPLIT_FOLDERS: dict[Layout, dict[Split, str]] = {
    "lavdf": {split: split for split in SPLITS},
    "av-deepfake1m": {"train": "train", "dev": "val", "test": "test"},
}
VERSIONS = {
    "real": "real",
    "audio": "real_video_fake_audio",
    "visual": "fake_video_real_audio",
    "both_same_time": "fake_video_fake_audio",
    "both_different_times": "fake_video_fake_audio",
}
"""AV-Deepfake1M's name of each kind of clip made from one genuine window"""


@dataclass(frozen=True)
class Namer:
    """How one layout names its clips."""

    grouped: bool
    """whether a genuine window and its forged versions lie side by side"""
    file: Callable[[Split, str, SourceLength, int, int], str]
    """split, kind, first source, number of the window's first clip, number of this clip -> path below the root"""


def namer(layout: Layout, sources: Sequence[SourceLength]) -> Namer:
    """The names of this layout. lavdf: `dev/000012.mp4`. av-deepfake1m: `val/id00003/clip_7/00012/real.mp4` with the
    person's number and the source's name; its test clips lie flat, `test/000012.mp4`, since the path would tell."""
    folders = SPLIT_FOLDERS[layout]
    if layout == "lavdf":
        return Namer(False, lambda split, _kind, _source, _window, number: f"{folders[split]}/{number:06d}.mp4")
    people = {person: i for i, person in enumerate(sorted({source.person for source in sources}))}

    def file(split: Split, kind: str, source: SourceLength, window: int, number: int) -> str:
        if split == "test":
            return f"{folders[split]}/{number:06d}.mp4"
        place = f"id{people[source.person]:05d}/{_plain_name(source)}/{window:05d}"
        return f"{folders[split]}/{place}/{VERSIONS[kind]}.mp4"

    return Namer(True, file)


def _plain_name(source: SourceLength) -> str:
    """The source's file name in letters that no file system minds."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", PurePosixPath(source.name or source.key).stem).strip("-") or source.key
