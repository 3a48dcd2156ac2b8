"""WebVTT: the shown segments as subtitles, so that any player says where the clip was forged.

Format: https://www.w3.org/TR/webvtt1/ (a cue must end after it starts; a comment holds no `-->`).
"""

from __future__ import annotations

from iamsb_core.report.evidence import LANES, NOUNS, LaneName, Report, ReportedSegment
from iamsb_core.report.headline import visible

_LABELS = {"audio": "forged sound", "visual": "forged picture"}


def webvtt(report: Report) -> str:
    """One cue for each shown segment of each lane, in order of start; an id such as `audio-1` names each."""
    cues = [
        (segment.start_seconds, LANES.index(name), _cue(name, number, segment))
        for name, lane in report.lanes.items()
        if lane is not None
        for number, segment in enumerate(lane.segments, start=1)
    ]
    note = f"NOTE\n{_one_line(report.media.name)}\nSHA-256 {report.media.sha256}\n{_one_line(report.verdict.summary)}"
    return "\n\n".join(["WEBVTT", note, *(cue for _, _, cue in sorted(cues))]) + "\n"


def _cue(name: LaneName, number: int, segment: ReportedSegment) -> str:
    first = round(segment.start_seconds * 1000)
    last = max(first + 1, round(segment.end_seconds * 1000))
    return f"{name}-{number}\n{_timestamp(first)} --> {_timestamp(last)}\n{cue_text(name, segment)}"


def cue_text(name: LaneName, segment: ReportedSegment) -> str:
    """`forged sound 0.93`; a fused segment says so and names the streams that speak for it."""
    if name != "fused":
        return f"{_LABELS[name]} {segment.score:.2f}"
    streams = " and ".join(NOUNS[stream] for stream in segment.streams)
    return f"fused: forged{' ' + streams if streams else ''} {segment.score:.2f}"


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"


def _one_line(text: str) -> str:
    """A line of a comment, which a line break or an arrow would end early."""
    return visible(text).replace("-->", "->")
