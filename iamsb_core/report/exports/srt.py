"""SubRip: the shown segments as subtitles for players that know no WebVTT.

Format as players read it: a counter, `hours:minutes:seconds,thousandths --> ...`, lines of text, an empty line.
Subtitles may overlap. A clip without segments gives an empty file, which holds no subtitles.
"""

from __future__ import annotations

from iamsb_core.report.exports.findings import Findings, Found, clock_text, span


def srt(findings: Findings) -> str:
    """One subtitle for each shown segment of each lane, in order of start."""
    return "\n".join(_subtitle(number, each) for number, each in enumerate(findings.segments, start=1))


def _subtitle(number: int, segment: Found) -> str:
    first, last = (clock_text(milliseconds, ",") for milliseconds in span(segment, 1000))
    return f"{number}\n{first} --> {last}\n{segment.label}\n"
