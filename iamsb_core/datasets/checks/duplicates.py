"""The same file under several names: the same path listed twice, or the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from iamsb_core.datasets.checks.columns import Columns
from iamsb_core.datasets.checks.findings import Finding, counted, finding, listed


def check_duplicates(columns: Columns, sha256: Mapping[str, str]) -> Iterator[Finding]:
    """sha256: digests by video_id, where known beyond the manifest's own."""
    yield from _same_path(columns)
    yield from _same_bytes(columns, sha256)


def _same_path(columns: Columns) -> Iterator[Finding]:
    seen: set[str] = set()
    twice = [str(video.path) for video in columns.videos if _again(str(video.path), seen)]
    if not twice:
        return
    again = sorted(set(twice))
    message = f"{counted(len(again), 'file is', 'files are')} listed under more than one id"
    advice = "keep one entry of each: what is counted twice weighs twice, and a changed truth contradicts itself"
    places = ((path, f"{path} is listed twice") for path in again)
    yield finding("warning", "file_listed_twice", message, advice, places, count=len(again))


def _again(path: str, seen: set[str]) -> bool:
    known = path in seen
    seen.add(path)
    return known


def _same_bytes(columns: Columns, sha256: Mapping[str, str]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    for row, video in enumerate(columns.videos):
        digest = sha256.get(video.video_id, video.media_sha256)
        if digest is not None and first.setdefault(digest, row) != row:
            groups[digest].append(row)
    rows = [[first[digest], *others] for digest, others in groups.items()]
    rows = [group for group in rows if len({columns.videos[row].path for row in group}) > 1]
    leaks = [group for group in rows if len({columns.videos[row].split for row in group}) > 1]
    within = [group for group in rows if len({columns.videos[row].split for row in group}) == 1]
    if leaks:
        message = f"{counted(len(leaks), 'file is', 'files are')} in more than one split, byte for byte"
        advice = "a model is tested on what it learned from: keep each file in one split"
        yield finding("error", "duplicate_media", message, advice, _instances(columns, leaks), count=len(leaks))
    if within:
        message = f"{counted(len(within), 'file is', 'files are')} there more than once, byte for byte"
        advice = "copies weigh twice in training and in averages: remove them from the list"
        yield finding("warning", "duplicate_media", message, advice, _instances(columns, within), count=len(within))


def _instances(columns: Columns, groups: list[list[int]]) -> Iterator[tuple[str, str]]:
    for group in groups:
        names = [f"{columns.videos[row].video_id} ({columns.videos[row].split})" for row in group]
        yield columns.videos[group[0]].video_id, f"{len(names)} videos are the same file: {listed(names)}"
