"""Praat's TextGrid in its long text form, one interval tier for each lane.

Format: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html. A tier covers the whole clip without gaps
and without overlaps: between segments stand intervals without text; where segments overlap, the one with the better
score keeps the time and the other what is left (`without_overlap`). The tier of a lane that was not examined says so.
"""

from __future__ import annotations

from iamsb_core.report.evidence import LANES, LaneName
from iamsb_core.report.exports.findings import Findings, without_overlap

NOT_EXAMINED = "not examined"


def textgrid(findings: Findings) -> str:
    """Tiers `audio`, `visual` and `fused`, in seconds."""
    end = _number(findings.duration_seconds)
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {end} "]
    tiers = [line for number, lane in enumerate(LANES, start=1) for line in _tier(number, lane, findings)]
    return "\n".join([*head, "tiers? <exists> ", f"size = {len(LANES)} ", "item []: ", *tiers]) + "\n"


def _tier(number: int, lane: LaneName, findings: Findings) -> list[str]:
    intervals = _intervals(lane, findings)
    lines = [f"    item [{number}]:", '        class = "IntervalTier" ', f"        name = {_quoted(lane)} "]
    lines += ["        xmin = 0 ", f"        xmax = {_number(findings.duration_seconds)} "]
    lines.append(f"        intervals: size = {len(intervals)} ")
    for index, (start, end, text) in enumerate(intervals, start=1):
        lines += [f"        intervals [{index}]:", f"            xmin = {_number(start)} "]
        lines += [f"            xmax = {_number(end)} ", f"            text = {_quoted(text)} "]
    return lines


def _intervals(lane: LaneName, findings: Findings) -> list[tuple[float, float, str]]:
    """(start, end, text) from 0 to the clip's end, each beginning where the one before ends."""
    end = findings.duration_seconds
    if lane not in findings.examined:
        return [(0.0, end, NOT_EXAMINED)]
    intervals: list[tuple[float, float, str]] = []
    reached = 0.0
    for segment in without_overlap(findings.of(lane)):
        if segment.start_seconds > reached:
            intervals.append((reached, segment.start_seconds, ""))
        intervals.append((segment.start_seconds, segment.end_seconds, f"{segment.key} {segment.label}"))
        reached = segment.end_seconds
    return [*intervals, (reached, end, "")] if reached < end else intervals


def _number(seconds: float) -> str:
    return repr(round(seconds, 9))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
