"""A quick way through the one JSON shape that gets large: {"file": [[number, number, number], ...], ...}.

A file of 57,340 clips with 100 proposals each holds 17 million numbers. Reading it as Python objects takes seconds
and gigabytes; here NumPy parses the numbers straight from the text. Anything unusual is left to the real parser.
"""

from __future__ import annotations

import json
import re
import warnings

import numpy as np
from numpy.typing import NDArray

_ENTRY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*(\[[^"]*)')
_NUMBER_OR_SPACE = b"0123456789+-.eE \t\r\n"
_ROW = b"[,,]"
_TO_SPACES = bytes.maketrans(b"[],}", b"    ")

PlainRows = tuple[list[str], list[int], NDArray[np.float32]]
"""names, number of rows of each, and all rows (N, 3) one after the other"""


def read_plain_rows(data: bytes) -> PlainRows | None:
    """The names and rows of such a document; None where it is not exactly that, or where a number is NaN or null."""
    text = data.strip()
    entries = _ENTRY.findall(text)
    if not entries or not (text.startswith(b"{") and text.endswith(b"}")) or text.count(b'"') != 2 * len(entries):
        return None
    counts: list[int] = []
    last = len(entries) - 1
    for index, (_, value) in enumerate(entries):
        num_rows = _count_rows(value.translate(None, _NUMBER_OR_SPACE), b"}" if index == last else b",")
        if num_rows is None:
            return None
        counts.append(num_rows)
    numbers = b" ".join([value.translate(_TO_SPACES) for _, value in entries])
    rows = _parsed(numbers)
    if rows is None or rows.size != 3 * sum(counts):
        return None
    names = [json.loads(b'"' + name + b'"') for name, _ in entries]
    return names, counts, rows.reshape(-1, 3)


def _parsed(numbers: bytes) -> NDArray[np.float32] | None:
    """Numbers with spaces between them; None where one of them is not a number."""
    if not numbers.strip():
        return np.empty(0, dtype=np.float32)
    with warnings.catch_warnings():
        # NumPy before 2.4 warns where later ones raise
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return np.fromstring(numbers, dtype=np.float32, sep=" ")
        except (ValueError, DeprecationWarning):
            return None


def _count_rows(skeleton: bytes, end: bytes) -> int | None:
    """Rows of three numbers, told by the brackets and commas alone; None where they are not as they should be."""
    num_rows = skeleton.count(_ROW)
    if num_rows == 0:
        return 0 if skeleton in (b"[]" + end, b"[[]]" + end) else None
    expected = 5 * num_rows + 1 + len(end)
    regular = skeleton.startswith(b"[[") and skeleton.endswith(b"]]" + end) and len(skeleton) == expected
    return num_rows if regular else None
