"""A quick way through the one JSON shape that gets large: {"file": [[number, number, number], ...], ...}.

A file of 57,340 clips with 100 proposals each holds 17 million numbers. Reading it as Python objects takes many
seconds and gigabytes; here SciPy's parser of number columns reads them straight from the text, on all cores. Brackets,
commas and counts are checked; anything unusual is left to the real parser.
"""

from __future__ import annotations

import io
import json
import re

import numpy as np
from numpy.typing import NDArray
from scipy.io import mmread

_ENTRY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*(\[[^"]*)')
_NUMBER_OR_SPACE = b"0123456789+-.eE \t\r\n"
_ROW = b"[,,]"
_TO_LINES = bytes.maketrans(b", \t\r", b"\n\n\n\n")
_COLUMN_HEADER = b"%%%%MatrixMarket matrix array real general\n%d 1\n"
_BEFORE_SIGN = np.frombuffer(b"\neE", dtype=np.uint8)

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
    column = b"\n".join([value.translate(_TO_LINES, b"[]}") for _, value in entries])
    numbers = _parsed(column, 3 * sum(counts))
    if numbers is None:
        return None
    try:
        return [_text(name) for name, _ in entries], counts, numbers.reshape(-1, 3)
    except ValueError:
        return None


def _text(name: bytes) -> str:
    """What a JSON string holds; raises ValueError where it is not one."""
    return str(json.loads(b'"' + name + b'"')) if b"\\" in name else name.decode()


def _count_rows(skeleton: bytes, end: bytes) -> int | None:
    """Rows of three numbers, told by the brackets and commas alone; None where they are not as they should be."""
    num_rows = skeleton.count(_ROW)
    if num_rows == 0:
        return 0 if skeleton in (b"[]" + end, b"[[]]" + end) else None
    expected = 5 * num_rows + 1 + len(end)
    regular = skeleton.startswith(b"[[") and skeleton.endswith(b"]]" + end) and len(skeleton) == expected
    return num_rows if regular else None


def _parsed(column: bytes, num_numbers: int) -> NDArray[np.float32] | None:
    """One number a line, blank lines aside; None where there are more or fewer, or one of them is not a number."""
    if num_numbers == 0:
        return None if column.strip() else np.empty(0, dtype=np.float32)
    column = b"\n" + column
    # the parser stops at a sign inside a number, where JSON has none
    characters = np.frombuffer(column, dtype=np.uint8)
    signs = np.flatnonzero((characters == ord("-")) | (characters == ord("+")))
    if not np.isin(characters[signs - 1], _BEFORE_SIGN).all():
        return None
    try:
        numbers = mmread(io.BytesIO(_COLUMN_HEADER % num_numbers + column))
    except ValueError:
        return None
    return np.asarray(numbers[:, 0], dtype=np.float32)
