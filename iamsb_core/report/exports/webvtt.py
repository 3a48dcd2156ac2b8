"""WebVTT: the shown segments as subtitles, so that any player says where the clip was forged.

Format: https://www.w3.org/TR/webvtt1/ (a cue must end after it starts; a comment holds no `-->`). Cues may overlap.
"""

from __future__ import annotations

from iamsb_core.report.exports.findings import Findings, Found, clock_text, span


def webvtt(findings: Findings) -> str:
    """One cue for each shown segment of each lane, in order of start; an id such as `audio-1` names each."""
    note = f"NOTE\n{_one_line(findings.name)}\nSHA-256 {findings.sha256}\n{_one_line(findings.summary)}"
    return "\n\n".join(["WEBVTT", note, *map(_cue, findings.segments)]) + "\n"


def _cue(segment: Found) -> str:
    first, last = (clock_text(milliseconds, ".") for milliseconds in span(segment, 1000))
    return f"{segment.key}\n{first} --> {last}\n{segment.label}"


def _one_line(text: str) -> str:
    """A line of a comment, which an arrow would end early."""
    return text.replace("-->", "->")
