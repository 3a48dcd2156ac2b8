"""A quick way through the one JSON shape that gets large: {"file": [[number, number, number], ...], ...}.

A file of 57,340 clips with 100 proposals each holds 17 million numbers. Reading it as Python objects takes many
seconds and gigabytes; here SciPy's parser of number columns reads them straight from the text, on all cores. Brackets,
commas and counts are checked; anything unusual is left to the real parser.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.io import mmread

_BEGINNING = re.compile(rb'\s*\{\s*"')
_ENTRY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*(\[[^"]*)')
_NUMBER_OR_SPACE = b"0123456789+-.eE \t\r\n"
_ROW = b"[,,]"
_TO_LINES = bytes.maketrans(b", \t\r", b"\n\n\n\n")
_COLUMN_HEADER = b"%%%%MatrixMarket matrix array real general\n%d 1\n"
_BLOCK_BYTES = 16 << 20
_BEFORE_SIGN = np.frombuffer(b"\neE", dtype=np.uint8)

PlainRows = tuple[list[str], list[int], NDArray[np.float32]]
"""names, number of rows of each, and all rows (N, 3) one after the other"""


def read_plain_rows(data: bytes) -> PlainRows | None:
    """The names and rows of such a document; None where it is not exactly that, or where a number is NaN or null.

    Numbers are parsed a few MiB at a time, so that the memory taken beyond the text is that of the rows alone.
    """
    if not _BEGINNING.match(data):
        return None
    names: list[bytes] = []
    ends: list[bytes] = []
    counts: list[int] = []
    blocks: list[NDArray[np.float32]] = []
    for block in _blocks(data):
        names += [name for name, _ in block]
        skeletons = [value.translate(None, _NUMBER_OR_SPACE) for _, value in block]
        ends += [skeleton[-1:] for skeleton in skeletons]
        found = [_count_rows(skeleton) for skeleton in skeletons]
        known = [num for num in found if num is not None]
        if len(known) < len(found):
            return None
        counts += known
        numbers = _parsed(b"\n".join([value.translate(_TO_LINES, b"[]}") for _, value in block]), 3 * sum(known))
        if numbers is None:
            return None
        blocks.append(numbers)
    if data.count(b'"') != 2 * len(names) or b"".join(ends) != b"," * (len(names) - 1) + b"}":
        return None
    try:
        return [_text(name) for name in names], counts, np.concatenate(blocks).reshape(-1, 3)
    except ValueError:
        return None


def _blocks(data: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
    """Names with the text up to the next name, some MiB at a time; the last one ends with the object's brace."""
    block: list[tuple[bytes, bytes]] = []
    size = 0
    for entry in _ENTRY.finditer(data):
        name, value = entry.groups()
        block.append((name, value))
        size += len(value)
        if size >= _BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _text(name: bytes) -> str:
    """What a JSON string holds; raises ValueError where it is not one."""
    return str(json.loads(b'"' + name + b'"')) if b"\\" in name else name.decode()


def _count_rows(skeleton: bytes) -> int | None:
    """Rows of three numbers, told by the brackets and commas alone; None where they are not as they should be.

    The last character, a comma or the object's brace, is not the list's.
    """
    num_rows = skeleton.count(_ROW)
    if num_rows == 0:
        return 0 if skeleton[:-1] in (b"[]", b"[[]]") else None
    regular = skeleton.startswith(b"[[") and skeleton.endswith(b"]]", 0, -1) and len(skeleton) == 5 * num_rows + 2
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
