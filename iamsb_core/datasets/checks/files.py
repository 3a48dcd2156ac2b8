"""Files that are listed and absent, and files that are there and not listed: one walk, no question per file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from iamsb_core.datasets.checks.columns import Columns
from iamsb_core.datasets.checks.findings import Finding, about_all, counted, finding, listed
from iamsb_core.datasets.containment import LINKED_VARIABLE, Enclosure
from iamsb_core.datasets.media_files import VIDEO_SUFFIXES

Report = Callable[[int], None]
"""told now and then how many files were seen"""
_FILES_PER_REPORT = 10_000


@dataclass
class _Walk:
    """What a walk over the root leaves."""

    absent: set[str]
    """listed paths not met yet"""
    orphans: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """folders not entered: hidden ones, and links to a folder that was walked already"""
    links_out: list[tuple[str, str]] = field(default_factory=list)
    """links to what lies outside the root, and where they lead"""
    num_files: int = 0


def check_files(columns: Columns, root: Path, progress: Report | None = None) -> Iterator[Finding]:
    """Compare the list with what lies below the root. Listed files in hidden folders are found too."""
    walk = _Walk({str(video.path) for video in columns.videos})
    known = set(walk.absent)
    _look_into(walk, Enclosure(root), str(root), known, progress)
    away = tuple(f"{folder}/" for folder in walk.skipped)
    walk.absent -= {path for path in walk.absent if path.startswith(away) and (root / path).is_file()}
    yield from _missing(columns, root, walk.absent)
    if walk.links_out:
        places = ((path, f"{path} leads to {place}") for path, place in walk.links_out)
        message = f"{counted(len(walk.links_out), 'link leads', 'links lead')} out of the dataset's folder"
        advice = f"what lies behind is not read; copy it in, or name the place in {LINKED_VARIABLE} if you trust it"
        yield finding("warning", "link_out_of_root", message, advice, places, count=len(walk.links_out))
    if walk.unreadable:
        places = ((place, f"{place} cannot be read") for place in walk.unreadable)
        message = f"{counted(len(walk.unreadable), 'folder')} could not be looked into"
        advice = "give yourself the right to read them; what they hold counts as missing here"
        yield finding("warning", "unreadable_folder", message, advice, places, count=len(walk.unreadable))
    if walk.orphans:
        walk.orphans.sort()
        places = ((path, f"{path} is not listed") for path in walk.orphans)
        message = f"{counted(len(walk.orphans), 'media file is', 'media files are')} not listed, so left out: "
        message += _by_folder(walk.orphans)
        advice = "nothing need be done; name them in the list if they belong to the dataset"
        yield finding("note", "orphan_file", message, advice, places, count=len(walk.orphans))


def _missing(columns: Columns, root: Path, absent: set[str]) -> Iterator[Finding]:
    if not absent:
        return
    rows = [row for row, video in enumerate(columns.videos) if str(video.path) in absent]
    splits = Counter(columns.videos[row].split for row in rows)
    places = (
        (
            columns.videos[row].video_id,
            f"{columns.videos[row].video_id} is listed, but {root / columns.videos[row].path} is not there",
        )
        for row in rows
    )
    share = ", ".join(f"{split} {number:,}" for split, number in sorted(splits.items()))
    verb = "is" if len(rows) == 1 else "are"
    message = f"{len(rows):,} of {counted(len(columns), 'listed file')} {verb} not there ({share})"
    advice = "fetch or unpack the rest; what is missing is left out of features, training and scores"
    if len(rows) == len(columns):
        yield about_all("error", "missing_file", f"none of {len(columns):,} listed files is there", "check the root")
        return
    yield finding("warning", "missing_file", message, advice, places, count=len(rows))


def _look_into(walk: _Walk, enclosure: Enclosure, root: str, known: set[str], progress: Report | None) -> None:
    """Walk the tree without recursion, entering a folder only once however many links lead to it."""
    seen = {os.path.realpath(root)}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(f"{root}/{folder}") as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_symlink() and (place := enclosure.outside(Path(entry.path))) is not None:
                        walk.links_out.append((path, place))
                    if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and entry.is_dir()):
                        if _is_new(entry, seen):
                            waiting.append(path)
                        else:
                            walk.skipped.append(path)
                        continue
                    _meet(walk, path, entry, known, progress)
        except OSError:
            walk.unreadable.append(folder or ".")


def _is_new(entry: os.DirEntry[str], seen: set[str]) -> bool:
    """Whether to enter a folder; only links are remembered, as nothing else can lead back."""
    if entry.name.startswith("."):
        return False
    if not entry.is_symlink():
        return True
    real = os.path.realpath(entry.path)
    if real in seen:
        return False
    seen.add(real)
    return True


def _meet(walk: _Walk, path: str, entry: os.DirEntry[str], known: set[str], progress: Report | None) -> None:
    walk.num_files += 1
    if progress is not None and walk.num_files % _FILES_PER_REPORT == 0:
        progress(walk.num_files)
    if path in known:
        if entry.is_file():  # a link whose target is gone is no file
            walk.absent.discard(path)
    elif _suffix(entry.name) in VIDEO_SUFFIXES and not entry.name.startswith("."):
        walk.orphans.append(path)


def _by_folder(paths: list[str]) -> str:
    folders = Counter(str(PurePosixPath(path).parts[0]) if "/" in path else "." for path in paths)
    return listed([f"{number:,} in {folder}" for folder, number in folders.most_common()])


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""
