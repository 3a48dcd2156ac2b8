"""Reading a submission's JSON so that every fault can be told with its line, however large or broken the file is.

A file without faults of form goes through the quick reader. Any other is read entry by entry with the standard
library's scanner, which never holds more than one clip's rows as Python objects.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.metrics.fast_json import read_plain_rows

_NAME = re.compile(rb'"(?:[^"\\]|\\.)*"\s*:')
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that the organisers' evaluator would stop at, or read otherwise than it was meant."""

    kind: str
    text: str
    line: int | None = None
    """from 1; None where the fault is of no line, such as a clip that is missing"""
    clip: str | None = None


@dataclass
class ScannedRows:
    """The entries of a JSON submission. E entries, P rows."""

    names: list[str]
    counts: NDArray[np.int64]
    """(E,): rows of each entry"""
    rows: NDArray[np.float64]
    """(P, 3): score, start, end; NaN for null, and in rows that are no three numbers"""
    irregular: NDArray[np.bool_]
    """(P,): rows that are no three numbers, which have a fault of their own"""
    lines: list[int]
    """(E,): where each entry begins"""
    faults: list[Fault] = field(default_factory=list)
    """of form; where the file breaks off, the entries before are still here"""


def scan(data: bytes) -> ScannedRows:
    """All entries of the text of a submission, with what is wrong with its form."""
    plain = read_plain_rows(data)
    if plain is None:
        return _slowly(data)
    names, counts, rows = plain
    lines = _lines_of_names(data)
    return ScannedRows(
        names, np.asarray(counts, dtype=np.int64), rows.astype(np.float64), np.zeros(len(rows), dtype=bool), lines
    )


def _lines_of_names(data: bytes) -> list[int]:
    """The line of every name, of a text in which all strings are names."""
    newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
    places = np.fromiter((found.start() for found in _NAME.finditer(data)), dtype=np.int64)
    lines: list[int] = (np.searchsorted(newlines, places) + 1).tolist()
    return lines


def _slowly(data: bytes) -> ScannedRows:
    faults: list[Fault] = []
    names: list[str] = []
    lines: list[int] = []
    blocks = [np.empty((0, 3))]
    irregular = [np.empty(0, dtype=bool)]
    try:
        for line, name, value in _entries(data.decode("utf-8-sig")):
            rows, bad = _rows(value, line, name, faults)
            names.append(name)
            lines.append(line)
            blocks.append(rows)
            irregular.append(bad)
    except json.JSONDecodeError as error:
        faults.append(Fault("not-json", f"not valid JSON from column {error.colno} on: {error.msg}", error.lineno))
    except UnicodeDecodeError as error:
        faults.append(Fault("not-json", f"not UTF-8 text: {error}", data.count(b"\n", 0, error.start) + 1))
    counts = np.array([len(rows) for rows in blocks[1:]], dtype=np.int64)
    return ScannedRows(names, counts, np.concatenate(blocks), np.concatenate(irregular), lines, faults)


def _entries(text: str) -> Iterator[tuple[int, str, Any]]:
    """(line, name, value) of each member of the object. Raises json.JSONDecodeError where the text is another thing."""
    decode = json.JSONDecoder().raw_decode
    place = _after_space(text, 0)
    if text[place : place + 1] != "{":
        raise json.JSONDecodeError('an object such as {"file": [[score, start, end], ...]} was expected', text, place)
    line, last = 1 + text.count("\n", 0, place), place
    place = _after_space(text, place + 1)
    at_end = text[place : place + 1] == "}"
    while not at_end:
        line, last = line + text.count("\n", last, place), place
        if text[place : place + 1] != '"':
            raise json.JSONDecodeError("a clip's name was expected", text, place)
        name, place = decode(text, place)
        place = _after_space(text, place)
        if text[place : place + 1] != ":":
            raise json.JSONDecodeError("a colon was expected", text, place)
        value, place = decode(text, _after_space(text, place + 1))
        yield line, name, value
        place = _after_space(text, place)
        at_end = text[place : place + 1] == "}"
        if not at_end and text[place : place + 1] != ",":
            raise json.JSONDecodeError("a comma or the closing brace was expected", text, place)
        place = place if at_end else _after_space(text, place + 1)
    if (end := _after_space(text, place + 1)) < len(text):
        raise json.JSONDecodeError("nothing was expected after the closing brace", text, end)


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _rows(value: Any, line: int, name: str, faults: list[Fault]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(N, 3) numbers, NaN where there is none, and (N,) which rows have a fault of form."""
    if not isinstance(value, list):
        text = f"must be a list of [score, start, end], got {value!r:.60}"
        faults.append(Fault("not-a-list", text, line, name))
        return np.full((1, 3), np.nan), np.ones(1, dtype=bool)
    if value == [[]]:
        value = []
    rows = np.full((len(value), 3), np.nan)
    bad = np.zeros(len(value), dtype=bool)
    for index, row in enumerate(value):
        if _is_row(row):
            rows[index] = [math.nan if number is None else number for number in row]
            continue
        bad[index] = True
        faults.append(Fault("bad-row", f"row {index + 1} must be [score, start, end], got {row!r:.60}", line, name))
    return rows, bad


def _is_row(row: Any) -> bool:
    """Three numbers or nulls."""
    return (
        isinstance(row, list)
        and len(row) == 3
        and all(n is None or (isinstance(n, int | float) and not isinstance(n, bool)) for n in row)
    )
