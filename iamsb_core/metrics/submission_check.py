"""Checking the files of a submission before they are sent: every fault with its line, and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.submission_formats import Listing, SubmissionFormat
from iamsb_core.metrics.submission_scan import Fault, ScannedRows, scan

Task = Literal["detection", "localization"]
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class SubmissionCheck:
    """What was found in one file."""

    path: Path
    format: str
    task: Task
    """`detection` for lines of clip scores, `localization` for JSON of segments"""
    num_bytes: int
    num_clips: int
    num_proposals: int
    num_placeholders: int
    """proposals [.., 0, 0], which stand for none"""
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    """what is allowed and may not be meant"""

    @property
    def passed(self) -> bool:
        return not self.faults

    @property
    def fault_counts(self) -> dict[str, int]:
        """How many faults there are of each kind."""
        return dict(Counter(fault.kind for fault in self.faults))


def check_submission(form: SubmissionFormat, path: Path, listing: Listing | None = None) -> SubmissionCheck:
    """Check one file, which is JSON of segments if it is called so or begins so, else lines of clip scores.

    Faults: what the organisers' evaluator stops at (no JSON, an empty list, a number that is none, a clip that is
    missing or listed twice) or reads otherwise than it was meant (lists that are not by falling score, segments that
    end before they start or start before the clip). Without a listing nobody can tell whether clips are missing, which
    is a note. Raises ValueError where the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    before = list(_of_the_whole(data))
    if before:
        return _result(form, path, data, task="localization" if path.suffix == ".json" else "detection", faults=before)
    if path.suffix.lower() == ".json" or data.lstrip()[:1] == b"{":
        return _check_segments(form, path, data, listing)
    return _check_scores(form, path, data, listing)


def _of_the_whole(data: bytes) -> Iterator[Fault]:
    """What makes a file unreadable as it stands."""
    if not data.strip():
        yield Fault("empty-file", "the file is empty", 1)
    if data.startswith(_GZIP):
        yield Fault("compressed", "the file is gzipped; send the text", 1)
    if data.startswith(_BYTE_ORDER_MARK):
        yield Fault("byte-order-mark", "the file begins with a byte order mark, which becomes part of a name", 1)


def _result(
    form: SubmissionFormat,
    path: Path,
    data: bytes,
    *,
    task: Task,
    faults: Sequence[Fault],
    notes: Sequence[str] = (),
    num_clips: int = 0,
    scanned: ScannedRows | None = None,
) -> SubmissionCheck:
    if num_clips == 0 and not faults:
        faults = [Fault("no-clips", "the file names no clip", 1)]
    return SubmissionCheck(
        path=path,
        format=form.name,
        task=task,
        num_bytes=len(data),
        num_clips=num_clips,
        num_proposals=0 if scanned is None else len(scanned.rows),
        num_placeholders=0 if scanned is None else int((scanned.rows[:, 1:] == 0).all(axis=1).sum()),
        faults=tuple(sorted(faults, key=lambda fault: math.inf if fault.line is None else fault.line)),
        notes=tuple(notes),
    )


def _check_scores(form: SubmissionFormat, path: Path, data: bytes, listing: Listing | None) -> SubmissionCheck:
    faults: list[Fault] = []
    names: list[str] = []
    lines: list[int] = []
    scores: list[float] = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        found = _score_of(form, line, number, faults)
        if found is not None:
            names.append(found[0])
            scores.append(found[1])
            lines.append(number)
    faults += _of_names(names, lines, listing)
    outside = sum(score < 0 or score > 1 for score in scores)
    notes = [*_about_listing(names, listing)]
    if outside:
        notes.append(f"{outside} scores lie outside [0, 1]; the organisers' AUC then squashes all of them first")
    if len(set(scores)) == 1 and len(scores) > 1:
        notes.append("every clip has the same score, which is an AUC of 0.5")
    return _result(form, path, data, task="detection", faults=faults, notes=notes, num_clips=len(names))


def _score_of(form: SubmissionFormat, line: str, number: int, faults: list[Fault]) -> tuple[str, float] | None:
    """The name and score of a line; None, and a fault, where it has none."""
    name, separator, text = line.rpartition(form.separator)
    if not separator or not name:
        faults.append(
            Fault("separator", f"must be a file name, {form.separator!r} and a score, got {line!r:.60}", number)
        )
        return None
    try:
        score = float(text)
    except ValueError:
        if number == 1:
            faults.append(Fault("header", f"there must be no header, got {line!r:.60}", number))
        else:
            faults.append(Fault("not-a-number", f"the score must be a number, got {text!r:.60}", number, name))
        return None
    if not math.isfinite(score):
        faults.append(Fault("not-finite", f"the score is {score}", number, name))
    if name != name.strip():
        faults.append(Fault("spaces", f"spaces around the name {name!r:.60} become part of it", number, name.strip()))
    return name.strip(), score


def _check_segments(form: SubmissionFormat, path: Path, data: bytes, listing: Listing | None) -> SubmissionCheck:
    scanned = scan(data)
    faults = [*scanned.faults, *_of_lists(scanned), *_of_names(scanned.names, scanned.lines, listing)]
    if form.max_json_bytes is not None and len(data) >= form.max_json_bytes:
        faults.append(
            Fault(
                "too-large",
                f"{len(data) / 1e9:.2f} GB, and {form.max_json_bytes / 1e9:g} GB is too much; write fewer proposals",
            )
        )
    rows = scanned.rows[~scanned.irregular]
    notes = [*_about_listing(scanned.names, listing)]
    hollow = int(((rows[:, 1] == rows[:, 2]) & (rows[:, 2] > 0)).sum())
    if hollow:
        notes.append(f"{hollow} proposals have no length and count as false positives")
    if outside := int(((rows[:, 0] < 0) | (rows[:, 0] > 1)).sum()):
        notes.append(f"{outside} scores lie outside [0, 1]; only their order counts")
    num_clips = len(scanned.names)
    return _result(
        form, path, data, task="localization", faults=faults, notes=notes, num_clips=num_clips, scanned=scanned
    )


def _of_lists(scanned: ScannedRows) -> Iterator[Fault]:
    """Faults of the numbers and of their order."""
    entry = np.repeat(np.arange(len(scanned.counts)), scanned.counts)
    first = np.cumsum(scanned.counts) - scanned.counts
    score, start, end = scanned.rows.T

    def told(kind: str, wrong: NDArray[np.bool_], text: str) -> Iterator[Fault]:
        for row in np.flatnonzero(wrong & ~scanned.irregular).tolist():
            index = int(entry[row])
            where = f"row {row - first[index] + 1} {text}: {_numbers(scanned.rows[row])}"
            yield Fault(kind, where, scanned.lines[index], scanned.names[index])

    for index in np.flatnonzero(scanned.counts == 0).tolist():
        text = "an empty list stops the organisers' evaluator; write [[0, 0, 0]]"
        yield Fault("empty-list", text, scanned.lines[index], scanned.names[index])
    finite: NDArray[np.bool_] = np.isfinite(scanned.rows).min(axis=1, initial=True)
    yield from told("not-finite", ~finite, "holds null, NaN or an infinity, which stops the evaluator")
    yield from told("inverted", finite & (end < start), "ends before it starts")
    yield from told("negative-time", finite & ((start < 0) | (end < 0)), "lies before the clip")
    rises = np.zeros(len(score), dtype=bool)
    rises[1:] = (score[1:] > score[:-1]) & (entry[1:] == entry[:-1])
    yield from told("unsorted", rises, "scores more than the row before; the evaluator reads lists as they stand")


def _numbers(row: NDArray[np.float64]) -> str:
    return "[" + ", ".join(f"{number:.7g}" for number in row.tolist()) + "]"


def _of_names(names: Sequence[str], lines: Sequence[int], listing: Listing | None) -> Iterator[Fault]:
    """Clips that are listed twice, or are missing."""
    seen: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if name in seen:
            yield Fault("duplicate", f"listed before, in line {seen[name]}", line, name)
        else:
            seen[name] = line
    if listing is not None:
        yield from (Fault("missing", "is not in the file", None, name) for name in listing.names if name not in seen)


def _about_listing(names: Sequence[str], listing: Listing | None) -> Iterator[str]:
    if listing is None:
        yield "no list of the test clips was given, so nothing is known of clips that are missing"
        return
    wanted = set(listing.names)
    extra = [name for name in names if name not in wanted]
    if extra:
        yield f"{len(extra)} clips are not in the list, such as {extra[0]}; they are ignored"
