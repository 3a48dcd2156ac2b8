"""Where two reports on one file differ, segment by segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from iamsb_core.metrics.tiou import pairwise_tiou

SAME_SEGMENT_IOU = 0.5
"""from here on two models speak of the same segment"""
MOVED_SECONDS = 0.1
"""an end that lies further off than this differs"""

Span = tuple[float, float, float]
"""start seconds, end seconds, score"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One segment that the models do not agree on."""

    stream: str
    kind: Literal["only first", "only second", "moved"]
    first: Span | None
    second: Span | None

    @property
    def start_seconds(self) -> float:
        """Where to look."""
        return min(each[0] for each in (self.first, self.second) if each is not None)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Of two report documents, in order of time; streams that not both examined do not count."""
    found: list[Difference] = []
    for stream in ("audio", "visual"):
        if first["curves"][stream] is not None and second["curves"][stream] is not None:
            found += _of_stream(stream, spans(first, stream), spans(second, stream))
    return tuple(sorted(found, key=lambda each: each.start_seconds))


def spans(document: Mapping[str, Any], lane: str) -> tuple[Span, ...]:
    """The segments that a report shows in one lane; none reaches beyond the file's end."""
    end = float(document["media"]["duration_seconds"])
    return tuple(
        (float(each["start_seconds"]), min(float(each["end_seconds"]), end), float(each["score"]))
        for each in document["segments"][lane]
    )


def _of_stream(stream: str, first: tuple[Span, ...], second: tuple[Span, ...]) -> Iterator[Difference]:
    pairs = _paired(first, second)
    for i, j in pairs.items():
        apart = np.abs(np.subtract(first[i][:2], second[j][:2]))
        if apart.max() > MOVED_SECONDS:
            yield Difference(stream, "moved", first[i], second[j])
    yield from (Difference(stream, "only first", each, None) for i, each in enumerate(first) if i not in pairs)
    taken = set(pairs.values())
    yield from (Difference(stream, "only second", None, each) for j, each in enumerate(second) if j not in taken)


def _paired(first: tuple[Span, ...], second: tuple[Span, ...]) -> dict[int, int]:
    """One to one, so that the overlaps add up to the most."""
    if not first or not second:
        return {}
    overlap = pairwise_tiou(np.asarray(first), np.asarray(second))
    rows, columns = linear_sum_assignment(np.where(overlap >= SAME_SEGMENT_IOU, overlap, 0.0), maximize=True)
    return {int(i): int(j) for i, j in zip(rows, columns, strict=True) if overlap[i, j] >= SAME_SEGMENT_IOU}
