"""What a reader mended in the benchmark's own files, told by kind."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from iamsb_core.datasets.checks.findings import Finding, finding

_PLACE = re.compile(r"^\S+(?: \([^)]*\))?: ")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_QUOTED = re.compile(r"'[^']*'|\[[^\]]*\]")


def check_repairs(repairs: Sequence[str]) -> Iterator[Finding]:
    """One finding for each kind of repair: texts that differ only in place and numbers are one kind."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for text in repairs:
        kinds[_NUMBER.sub("0", _QUOTED.sub("'", _PLACE.sub("", text)))].append(text)
    for texts in kinds.values():
        what = _PLACE.sub("", texts[0])
        more = f" (and {len(texts) - 1:,} more of this kind)" if len(texts) > 1 else ""
        message = f"mended while reading: {what}{more}"
        advice = "nothing need be done: the mended truth is used; the dataset's own files were not changed"
        places = ((_place(text), text) for text in texts)
        yield finding("warning", "repaired", message, advice, places, count=len(texts))


def _place(text: str) -> str:
    found = _PLACE.match(text)
    return found.group().removesuffix(": ") if found else ""
