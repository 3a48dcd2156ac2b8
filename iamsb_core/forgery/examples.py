"""One forged segment of each kind, with the genuine clip beside it: what a data card shows and a test can compare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iamsb_core.forgery.config import FRAME_RATE_HZ

EXAMPLES_FOLDER = ".examples"
"""hidden, so that no reader takes its clips for the dataset's"""
_WANTED_SECONDS = 0.6
_LONG_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Example:
    """A forged segment of the dataset, whose clip's genuine twin lies in the examples folder."""

    stream: str
    method: str
    start: float
    end: float
    file: str
    """the forged clip, below the dataset's root"""
    genuine: str
    """the same clip before forging, encoded alike, below the dataset's root"""
    number: int
    """of the clip"""


def choose_examples(notes: Sequence[Mapping[str, Any]]) -> tuple[Example, ...]:
    """For each stream and method the segment that shows it best: alone in its clip's streams, about 0.6 s long.

    notes: one for each clip, in the order of their numbers.
    """
    best: dict[tuple[str, str], tuple[tuple[float, ...], Example]] = {}
    for number, note in enumerate(notes):
        for stream in ("audio", "visual"):
            for span in note[stream]:
                genuine = f"{EXAMPLES_FOLDER}/{number:06d}.mp4"
                example = Example(stream, span["method"], span["start"], span["end"], note["file"], genuine, number)
                rank = _rank(note, example)
                key = (stream, example.method)
                if key not in best or rank < best[key][0]:
                    best[key] = (rank, example)
    return tuple(example for _, (_, example) in sorted(best.items()))


def _rank(note: Mapping[str, Any], example: Example) -> tuple[float, ...]:
    """Smaller is better: a short clip, forged in one stream, with a segment of about the wanted length."""
    duration_seconds = note["num_frames"] / FRAME_RATE_HZ
    too_long = max(0.0, duration_seconds - _LONG_SECONDS)
    length = abs(math.log((example.end - example.start) / _WANTED_SECONDS))
    return too_long, float(note["kind"].startswith("both")), length, example.number
