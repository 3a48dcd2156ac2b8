"""Between a report, an earlier correction and what the page sends: the segments, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flows.desk.differences import spans
from iamsb_core.configuration import parse
from storage.corrections import Correction, Decision, Judgement, StreamName

STREAMS: tuple[StreamName, ...] = ("audio", "visual")
_SAME_SECONDS = 5e-4

Times = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A segment on the page, with what was said of it before."""

    stream: StreamName
    found: Times | None = None
    score: float | None = None
    decision: Decision | None = None
    truth: Times | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What the page sends when its user saves."""

    model: str
    """key"""
    by: str
    complete: bool
    judgements: tuple[Judgement, ...] = field(default=())
    note: str = ""


def examined(document: Mapping[str, Any]) -> tuple[StreamName, ...]:
    """The streams that a report speaks of."""
    return tuple(stream for stream in STREAMS if document["curves"][stream] is not None)


def rows(document: Mapping[str, Any], correction: Correction | None) -> tuple[Row, ...]:
    """Every segment that the model shows, then those that only the correction has.

    The correction may be of another model's findings: a segment with the same ends is the same one; what else was
    true then is an added segment now.
    """
    shown: list[Row] = []
    added: list[Row] = []
    for stream in STREAMS:
        said = [] if correction is None else [each for each in correction.judgements if each.stream == stream]
        used: set[int] = set()
        for start, end, score in spans(document, stream):
            index = _said_of((start, end), said, used)
            about = None if index is None else said[index]
            used |= set() if index is None else {index}
            shown.append(_row(stream, (start, end), score, about))
        rest = (each for index, each in enumerate(said) if index not in used and each.truth is not None)
        added += [Row(stream=stream, decision="added", truth=each.truth) for each in rest]
    return (*shown, *added)


def _said_of(found: Times, said: list[Judgement], used: set[int]) -> int | None:
    """Which judgement is about this segment: the one of the same finding, else the one whose truth it meets."""
    for of in ("found", "truth"):
        for index, each in enumerate(said):
            if index not in used and _same(found, getattr(each, of)):
                return index
    return None


def _row(stream: StreamName, found: Times, score: float, about: Judgement | None) -> Row:
    if about is None:
        return Row(stream=stream, found=found, score=score)
    if about.truth is None:
        return Row(stream=stream, found=found, score=score, decision="wrong")
    decision: Decision = "confirmed" if _same(found, about.truth) else "adjusted"
    return Row(stream=stream, found=found, score=score, decision=decision, truth=about.truth)


def _same(first: Times, second: Times | None) -> bool:
    return second is not None and all(abs(a - b) <= _SAME_SECONDS for a, b in zip(first, second, strict=True))


def correction_of(data: object, document: Mapping[str, Any]) -> Correction:
    """What the page sent, as a correction of this report.

    Raises ValueError where it is no such thing, where it judges what the report does not say, or where it is called
    complete and is not.
    """
    sent = parse(Sent, data, where="the correction")
    for stream in STREAMS:
        there = [each[:2] for each in spans(document, stream)]
        judged = [each.found for each in sent.judgements if each.stream == stream and each.found is not None]
        if len(set(judged)) != len(judged) or not all(any(_same(times, each) for each in there) for times in judged):
            raise ValueError("the correction is of another report than this one; reload the page")
        if sent.complete and len(judged) < len(there):
            raise ValueError(f"{len(there) - len(judged)} segments are not decided yet; decide them, or save a draft")
        spoken_of = any(each.stream == stream for each in sent.judgements)
        if spoken_of and stream not in examined(document):
            raise ValueError(f"the file has no {stream} that was examined")
    media, model = document["media"], document["model"]
    return Correction(
        sha256=media["sha256"],
        name=media["name"],
        duration_seconds=float(media["duration_seconds"]),
        judgements=sent.judgements,
        complete=sent.complete,
        by=sent.by.strip(),
        at=datetime.now().astimezone().isoformat(timespec="seconds"),
        model=model["uri"],
        model_sha256=model["digest"],
        note=sent.note.strip(),
    )
