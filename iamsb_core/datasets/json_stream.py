"""Reading a metadata file of a million entries without holding more than one of them beside the records made of it.

The standard library's scanner decodes one entry at a time out of a window on the text. A parser that is faster on the
whole file (orjson) keeps all its entries, which takes more than 2 GB for AV-Deepfake1M, and the records are what most
of the time goes to.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_READ_BYTES = 1 << 20
_SPACE = " \t\n\r"
_AFTER_A_VALUE = _SPACE + ",:]}"


def stream_list(path: Path) -> Iterator[Any]:
    """The elements of a JSON list. Raises ValueError where the file is another thing, or broken; it says where."""
    window = _Window(path)
    window.open_with("[", "a list with one object for each video")
    if window.skip("]"):
        return
    while True:
        yield window.element()
        if not window.more("]"):
            return


def stream_object(path: Path) -> Iterator[tuple[str, Any]]:
    """The members of a JSON object, as `stream_list` gives the elements of a list."""
    window = _Window(path)
    window.open_with("{", "an object with one member for each video")
    if window.skip("}"):
        return
    while True:
        name = window.element()
        if not isinstance(name, str) or not window.skip(":"):
            raise window.broken("a name and a colon were expected")
        yield name, window.element()
        if not window.more("}"):
            return


def kind_of_json(path: Path) -> str:
    """`list`, `object` or `other`, by the first character; `other` for what is no text or not there."""
    try:
        window = _Window(path)
        return "list" if window.skip("[") else "object" if window.skip("{") else "other"
    except (OSError, ValueError):
        return "other"


class _Window:
    """The part of a file's text around the place that is read; the file is open only while it is read from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_bytes = 0
        self._characters = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._place = 0
        self._num_before = 0
        self._decode = json.JSONDecoder().raw_decode

    def open_with(self, mark: str, wanted: str) -> None:
        if not self.skip(mark):
            found = self._text[self._place : self._place + 30] or "nothing"
            raise ValueError(f"{self._path} must be {wanted}, but it starts with {found!r}")

    def element(self) -> Any:
        """The value that starts here, and what follows it is looked at: a value may go on past the window."""
        self._to_text()
        while True:
            try:
                value, place = self._decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if not self._grow():
                    raise self.broken(error.msg) from None
                continue
            if self._text[place : place + 1] in tuple(_AFTER_A_VALUE) or not self._grow():
                self._place = place
                return value

    def more(self, last: str) -> bool:
        """Whether another element follows; raises ValueError where neither it nor the end does."""
        if self.skip(","):
            return True
        if self.skip(last):
            return False
        raise self.broken(f"a comma or {last!r} was expected")

    def skip(self, mark: str) -> bool:
        """Step over the mark if it comes next."""
        self._to_text()
        found = self._text.startswith(mark, self._place)
        self._place += found
        return found

    def broken(self, problem: str) -> ValueError:
        place = self._num_before + self._place
        return ValueError(
            f"{self._path} is not valid JSON ({problem}, after character {place}); it may be cut short: fetch it again"
        )

    def _to_text(self) -> None:
        """Go on to the next character that is not blank."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in _SPACE:
                self._place += 1
            if self._place < len(self._text) or not self._grow():
                return

    def _grow(self) -> bool:
        """Read on, twice as much as there is, so that a long value is not decoded over and over; False at the end."""
        rest = self._text[self._place :]
        with self._path.open("rb") as file:
            file.seek(self._num_bytes)
            read = file.read(max(_READ_BYTES, len(rest)))
        try:
            text = self._characters.decode(read, final=not read)
        except UnicodeDecodeError as error:
            raise ValueError(f"{self._path} is not valid JSON ({error}); it may be damaged: fetch it again") from None
        self._num_bytes += len(read)
        self._num_before += self._place
        self._text, self._place = rest + text, 0
        return bool(read)
