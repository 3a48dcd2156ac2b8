"""What a user names - files, folders, patterns - as a list of videos, and where the report on each goes."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from iamsb_core.datasets.media_files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, find_media
from iamsb_core.digest import digest

_URL = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES
RESERVED_NAMES = frozenset({"index.html", "summary.json", "summary.csv"})
"""what lies beside the reports on several videos"""


def find_videos(inputs: Iterable[Path], *, recursive: bool = False) -> tuple[Path, ...]:
    """The files that are meant, absolute, each once, in the order of the inputs and by name within each.

    A file is taken whatever its name; a folder gives the media files in it, with `recursive` those below it too; what
    is neither may be a pattern (`*`, `?`, `[...]`, and `**` for any depth). Raises ValueError for an input that gives
    nothing.
    """
    found: dict[Path, None] = {}
    missing = []
    for given in inputs:
        videos = [path.absolute() for path in _videos(given, recursive=recursive)]
        if not videos:
            missing.append(_nothing(given, recursive=recursive))
        found.update(dict.fromkeys(videos))
    if missing:
        raise ValueError(missing[0] + (f"; nor do {len(missing) - 1} others give any" if missing[1:] else ""))
    return tuple(found)


def _videos(given: Path, *, recursive: bool) -> Iterator[Path]:
    if given.is_file():
        yield given
    elif given.is_dir():
        yield from _in_folder(given, recursive=recursive)
    elif glob.has_magic(str(given)):
        names = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 - patterns may be absolute
        yield from (path for path in map(Path, names) if path.is_file())


def _in_folder(folder: Path, *, recursive: bool) -> Iterator[Path]:
    if recursive:
        yield from (folder / path for path in find_media(folder, MEDIA_SUFFIXES))
        return
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def _nothing(given: Path, *, recursive: bool) -> str:
    if given.is_dir():
        hint = "" if recursive else "; look below it with --recursive"
        return f"no video or sound file in {given}{hint}"
    if _URL.match(str(given)):
        return f"{given} is an address, and addresses are not followed; download the file first"
    return f"no file matches {given}" if glob.has_magic(str(given)) else f"no file {given}"


def report_folders(videos: Sequence[Path], out: Path | None, otherwise: Path, *, alone: bool) -> dict[Path, Path]:
    """Where each video's report goes: `out` itself for one named `alone`, else a folder of the video's name in it.

    Where no `out` was named, every path has a folder of its own in `otherwise`, so that no report is written over.
    """
    own = {video: f"{video.stem}-{digest(str(video))[:8]}" for video in videos}
    if out is None:
        return {video: otherwise / own[video] for video in videos}
    if alone and len(videos) == 1:
        return {videos[0]: out}
    stems = [video.stem.casefold() for video in videos]
    plain = {
        video
        for video, stem in zip(videos, stems, strict=True)
        if stems.count(stem) == 1 and stem not in RESERVED_NAMES and stem.strip(".")
    }
    return {video: out / (video.stem if video in plain else own[video]) for video in videos}
