"""Writing the two files that a challenge wants, from predictions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from iamsb_core.localization.proposals import ClipProposals, Proposals, sorted_proposals
from iamsb_core.metrics.submission_formats import JSON_FILE, TEXT_FILE, Listing, SubmissionFormat

PLACEHOLDER: NDArray[np.float32] = np.zeros((1, 3), dtype=np.float32)
"""what a clip without proposals is given: it matches nothing, and keeps the evaluator from stopping"""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written, and what had to be done for it."""

    text_path: Path
    json_path: Path
    num_clips: int
    num_proposals: int
    warnings: tuple[str, ...]


def write_submission(
    form: SubmissionFormat,
    predictions: Mapping[str, ClipProposals],
    listing: Listing | None,
    out: Path,
    *,
    max_proposals: int = 100,
) -> Written:
    """Write prediction.txt and prediction.json into a folder, each beside its place and then moved there.

    Every clip of the list is written, in its order; without one, the clips of the predictions are. The fused lists are
    written, the best max_proposals of each. What could not be sent is mended and told: a clip that was not predicted
    gets a score of 0 and the placeholder; proposals with NaN, or that end before or where they start, are left out; a
    start before the clip is moved to 0. Raises ValueError where no listed clip is predicted.
    """
    if max_proposals < 1:
        raise ValueError(f"at least one proposal a clip must be written, got {max_proposals}")
    names = tuple(predictions) if listing is None else listing.names
    chosen = {name: _find(name, predictions, listing) for name in names}
    missing = [name for name, clip in chosen.items() if clip is None]
    if len(missing) == len(names):
        raise ValueError(
            f"none of the {len(names)} listed clips is predicted: the list has {next(iter(names), 'nothing')!r}, the "
            f"predictions {next(iter(predictions), 'nothing')!r}; predict the split that the list is of"
        )
    out.mkdir(parents=True, exist_ok=True)
    mended = _Mended()
    with _replacing(out / TEXT_FILE) as text, _replacing(out / JSON_FILE) as document:
        num_proposals = _write(chosen, form, text, document, mended=mended, max_proposals=max_proposals)
    return Written(
        text_path=out / TEXT_FILE,
        json_path=out / JSON_FILE,
        num_clips=len(names),
        num_proposals=num_proposals,
        warnings=tuple(_told(missing, mended, len(set(predictions)) - len(names) + len(missing))),
    )


@dataclass
class _Mended:
    """How often something had to be put right."""

    left_out: int = 0
    moved: int = 0
    scores: int = 0
    empty: int = 0


def _find(name: str, predictions: Mapping[str, ClipProposals], listing: Listing | None) -> ClipProposals | None:
    ids = (name,) if listing is None else listing.ids(name)
    return next((predictions[video_id] for video_id in ids if video_id in predictions), None)


def _write(
    chosen: Mapping[str, ClipProposals | None],
    form: SubmissionFormat,
    text: BinaryIO,
    document: BinaryIO,
    *,
    mended: _Mended,
    max_proposals: int,
) -> int:
    """Both files, a clip a line; the number of proposals, placeholders included."""
    num_proposals = 0
    beginning = b"{"
    for name, clip in chosen.items():
        if any(mark in name for mark in (form.separator, "\n", "\r")):
            raise ValueError(f"a clip called {name!r} cannot be told from its score in {TEXT_FILE}; rename it")
        rows = PLACEHOLDER if clip is None else _rows(clip.fused, mended, max_proposals)
        number = 0.0 if clip is None else _score(clip.clip_score, mended)
        text.write(f"{name}{form.separator}{number}\n".encode())
        listed = orjson.dumps(np.ascontiguousarray(rows[:, [2, 0, 1]]), option=orjson.OPT_SERIALIZE_NUMPY)
        document.write(beginning + orjson.dumps(name) + b": " + listed)
        beginning = b",\n"
        num_proposals += len(rows)
    document.write(b"}\n")
    return num_proposals


def _rows(proposals: Proposals, mended: _Mended, max_proposals: int) -> NDArray[np.float32]:
    """(N, 3) start, end, score as they can be sent, at least one."""
    fine = np.isfinite(proposals).all(axis=1) & (proposals[:, 1] > np.maximum(proposals[:, 0], 0))
    rows = sorted_proposals(proposals[fine])[:max_proposals]
    mended.left_out += int((~fine).sum())
    mended.moved += int((rows[:, 0] < 0).sum())
    mended.empty += not len(rows)
    return np.maximum(rows, np.array([0.0, 0.0, -np.inf], dtype=np.float32)) if len(rows) else PLACEHOLDER


def _score(clip_score: float, mended: _Mended) -> float:
    """A finite number; the shortest text of a float32 where it is one."""
    if math.isfinite(clip_score):
        short = np.float32(clip_score)
        return float(str(short)) if float(short) == clip_score else clip_score
    mended.scores += 1
    return 0.0


def _told(missing: list[str], mended: _Mended, num_extra: int) -> Iterator[str]:
    if missing:
        yield (
            f"{len(missing)} listed clips have no prediction, such as {missing[0]}; "
            "they were given a score of 0 and a placeholder"
        )
    if num_extra > 0:
        yield f"{num_extra} predicted clips are not in the list; left out"
    if mended.left_out:
        yield f"{mended.left_out} proposals hold NaN or do not end after they start; left out"
    if mended.moved:
        yield f"{mended.moved} proposals start before their clip; moved to 0 s"
    if mended.scores:
        yield f"{mended.scores} clips have a score that is no finite number; written as 0"
    if mended.empty:
        yield f"{mended.empty} predicted clips have no proposal; they were given a placeholder"


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside the place, moved there when all is written."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
