"""FFmpeg's metadata file with chapters: `ffmpeg -i talk.mp4 -i report.ffmetadata -map_chapters 1 -codec copy out.mkv`.

Format: https://ffmpeg.org/ffmpeg-formats.html#Metadata-2. A player is in one chapter at a time, so the chapters are
the fused lane's, cover the whole clip and do not overlap: stretches in between are chapters too, and where segments
overlap the one with the better score keeps the time (`without_overlap`).
"""

from __future__ import annotations

import re

from iamsb_core.report.exports.findings import Findings, span, ticks, without_overlap

UNITS_PER_SECOND = 10_000
BETWEEN = "no evidence of forgery"


def ffmetadata(findings: Findings) -> str:
    """The whole clip in chapters of 0.1 ms units."""
    chapters = [_chapter(*each) for each in _chapters(findings)]
    head = [";FFMETADATA1", f"title={_escaped(findings.name)}", f"comment={_escaped(findings.summary)}"]
    return "\n".join([*head, *chapters]) + "\n"


def _chapters(findings: Findings) -> list[tuple[int, int, str]]:
    """(start, end, title) from 0 to the clip's end."""
    end, reached = max(1, ticks(findings.duration_seconds, UNITS_PER_SECOND)), 0
    chapters: list[tuple[int, int, str]] = []
    for segment in without_overlap(findings.of("fused")):
        first, last = span(segment, UNITS_PER_SECOND)
        if first > reached:
            chapters.append((reached, first, BETWEEN))
        chapters.append((max(first, reached), last, segment.label))
        reached = last
    return [*chapters, (reached, end, BETWEEN)] if reached < end else chapters


def _chapter(first: int, last: int, title: str) -> str:
    return f"[CHAPTER]\nTIMEBASE=1/{UNITS_PER_SECOND}\nSTART={first}\nEND={last}\ntitle={_escaped(title)}"


def _escaped(text: str) -> str:
    return re.sub(r"([=;#\\\n])", r"\\\1", text)
