"""Typed reading of the loose objects that datasets keep in JSON and CSV files.

Every error names the place (file and position), what came and what was wanted.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from iamsb_core.manifest import SPLITS, Split
from iamsb_core.timeline import Segment

T = TypeVar("T")
OTHER_SPLIT_NAMES: dict[str, Split] = {"val": "dev", "valid": "dev", "validation": "dev"}
_WORDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list", dict: "an object"}


def load_json(path: Path) -> Any:
    """The content of a JSON file. Raises ValueError that names the file, and the place in it, where it is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); it may be cut short: fetch it again") from None


def require(entry: Mapping[str, Any], name: str, kind: type[T], where: str) -> T:
    """The field as exactly this type (true is no number). Raises ValueError where it is absent or of another type."""
    if name not in entry:
        raise ValueError(f"{where} has no {name!r}; it has {', '.join(sorted(map(str, entry))) or 'no field at all'}")
    value = entry[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where}: {name!r} must be {_WORDS.get(kind, kind.__name__)}, got {value!r:.80}")
    return value


def optional_text(entry: Mapping[str, Any], name: str, where: str) -> str | None:
    """The field as text; None where it is absent, null or empty."""
    return (require(entry, name, str, where) or None) if entry.get(name) is not None else None


def seconds(value: Any, name: str, where: str) -> float:
    """A time. Raises ValueError unless it is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{where}: {name} must be seconds (a number, 0 or more), got {value!r:.80}")
    return float(value)


def split_of(value: str, where: str) -> Split:
    """The split of this name, or of one that benchmarks use for it (val, valid). Raises ValueError for another word."""
    for split in SPLITS:
        if value == split:
            return split
    if value in OTHER_SPLIT_NAMES:
        return OTHER_SPLIT_NAMES[value]
    raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, got {value!r}{suggestion(value, SPLITS)}")


def segment_of(pair: Any, where: str) -> Segment | None:
    """A [start, end] pair as a segment; None where start equals end. Raises ValueError for anything else."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{where} must be [start, end] in seconds, got {pair!r:.80}")
    start, end = seconds(pair[0], "start", where), seconds(pair[1], "end", where)
    if start > end:
        raise ValueError(f"{where} ends before it starts: [{start}, {end}]; swap or remove it")
    return Segment(start, end) if start < end else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where a known name is near, otherwise nothing."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
