"""Formats of one row a segment: CSV for spreadsheets, labels for Audacity. Overlapping rows are allowed in both.

CSV: https://www.rfc-editor.org/rfc/rfc4180. Audacity: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
(start and end in seconds and the label, by tabs; no header).
"""

from __future__ import annotations

import csv
import io

from iamsb_core.report.exports.findings import Findings, Found

COLUMNS = (
    "segment", "lane", "start_seconds", "end_seconds", "score", "calibrated_score", "start_from_seconds",
    "start_to_seconds", "end_from_seconds", "end_to_seconds", "streams", "media", "sha256",
)  # fmt: skip
"""calibrated scores and the intervals around start and end are empty where the model's card does not tell"""
_FORMULA_MARKS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""what a spreadsheet computes; the wide forms are the same in East Asian ones"""
_INVISIBLE = "".join(map(chr, range(33))) + "\x7f\xa0\u200b\u2060\ufeff"
"""what importers drop from the front of a cell"""


def segments_csv(findings: Findings) -> str:
    """A header, then one row for each shown segment, in order of start."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    name = harmless(findings.name)
    writer.writerows((*_fields(each), name, findings.sha256) for each in findings.segments)
    return text.getvalue()


def _fields(segment: Found) -> tuple[str, ...]:
    times = f"{segment.start_seconds:.4f}", f"{segment.end_seconds:.4f}"
    chance = "" if segment.calibrated_score is None else f"{segment.calibrated_score:.6f}"
    intervals = [
        "" if interval is None else f"{seconds:.4f}"
        for interval in (segment.start_interval_seconds, segment.end_interval_seconds)
        for seconds in interval or (0.0, 0.0)
    ]
    return segment.key, segment.lane, *times, f"{segment.score:.6f}", chance, *intervals, " ".join(segment.streams)


def harmless(text: str) -> str:
    """Text that a spreadsheet shows and does not compute: an apostrophe goes before what would start a formula."""
    return f"'{text}" if text.strip(_INVISIBLE).startswith(_FORMULA_MARKS) else text


def audacity_labels(findings: Findings) -> str:
    """One label for each shown segment, in order of start."""
    return "".join(
        f"{each.start_seconds:.6f}\t{each.end_seconds:.6f}\t{each.key} {each.label}\n" for each in findings.segments
    )
