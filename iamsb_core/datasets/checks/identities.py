"""People, and originals, that stand on both sides of a border between splits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from iamsb_core.datasets.checks.columns import Columns
from iamsb_core.datasets.checks.findings import Finding, Severity, counted, finding
from iamsb_core.datasets.published import Published
from iamsb_core.manifest import SPLITS, Split


def check_identities(columns: Columns, published: Published | None) -> Iterator[Finding]:
    """People in several splits, and forged clips whose genuine original is in another split."""
    yield from _people(columns, published)
    yield from _originals(columns, published)


def _people(columns: Columns, published: Published | None) -> Iterator[Finding]:
    known = columns.people.codes >= 0
    present = np.zeros((len(columns.people.names), len(SPLITS)), dtype=bool)
    present[columns.people.codes[known], columns.splits[known]] = True
    leaks = np.flatnonzero(present.sum(axis=1) > 1)
    by_design = np.asarray([_is_by_design(present[person], published) for person in leaks], dtype=bool)
    for people, meant in ((leaks[~by_design], False), (leaks[by_design], True)):
        if not len(people):
            continue

        def instances(people: NDArray[np.intp] = people) -> Iterator[tuple[str, str]]:
            for person in sorted(people.tolist(), key=columns.people.names.__getitem__):
                name = columns.people.names[person]
                yield name, f"the person {name!r} appears in {_and(_splits(present[person]))}"

        what = f"{counted(len(people), 'person appears', 'people appear')} in more than one split"
        if meant and published is not None:
            message = f"{what}: {published.title} shares people between {_and(published.shared_people)} by design"
            advice = "numbers on a split that shares people with training say nothing of people never seen: say so"
            yield finding("warning", "person_in_two_splits", message, advice, instances(), count=len(people))
        else:
            advice = "results on these people are too good: move all clips of a person into one split"
            yield finding("error", "person_in_two_splits", what, advice, instances(), count=len(people))


def _originals(columns: Columns, published: Published | None) -> Iterator[Finding]:
    if all(video.original is None for video in columns.videos):
        return
    rows_by_name = {video.video_id: row for row, video in enumerate(columns.videos)}
    splits = columns.splits
    away = [
        (row, rows_by_name[video.original])
        for row, video in enumerate(columns.videos)
        if video.original is not None
        and video.original in rows_by_name
        and splits[rows_by_name[video.original]] != splits[row]
    ]
    if not away:
        return
    pairs = np.asarray(away)
    present = np.zeros((len(pairs), len(SPLITS)), dtype=bool)
    present[np.arange(len(pairs))[:, None], splits[pairs]] = True
    meant = all(_is_by_design(row, published) for row in np.unique(present, axis=0))

    def instances() -> Iterator[tuple[str, str]]:
        for row, original in away:
            video, source = columns.videos[row], columns.videos[original]
            yield video.video_id, f"{video.video_id} ({video.split}) was made from {source.video_id} ({source.split})"

    message = f"{counted(len(away), 'video was', 'videos were')} made from an original in another split"
    advice = "a model has seen these people and pictures: put a forgery and its original into one split"
    severity: Severity = "warning" if meant else "error"
    yield finding(severity, "original_in_another_split", message, advice, instances(), count=len(away))


def _is_by_design(present: NDArray[np.bool_], published: Published | None) -> bool:
    shared = frozenset() if published is None else frozenset(published.shared_people)
    return frozenset(_splits(present)) <= shared


def _splits(present: NDArray[np.bool_]) -> tuple[Split, ...]:
    return tuple(split for split, here in zip(SPLITS, present.tolist(), strict=True) if here)


def _and(words: tuple[str, ...]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
