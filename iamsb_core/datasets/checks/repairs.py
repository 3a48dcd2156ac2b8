"""What a reader mended in the benchmark's own files, as findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from iamsb_core.datasets.checks.findings import Finding, finding
from iamsb_core.datasets.presence import COUNTED_BY_THE_CHECK

_COUNT = re.compile(r"([\d,]+) (?:entry|entries)\b")


def check_repairs(repairs: Sequence[str]) -> Iterator[Finding]:
    """One finding for each line; readers count the entries that a line is about, and name a few."""
    advice = "nothing need be done: the mended truth is used, and the dataset's own files were not changed"
    for text in repairs:
        if text.endswith(COUNTED_BY_THE_CHECK):
            continue
        found = _COUNT.search(text)
        yield finding("warning", "repaired", text, advice, (), count=int(found[1].replace(",", "")) if found else 1)
