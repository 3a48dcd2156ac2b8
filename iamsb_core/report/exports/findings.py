"""What of a report goes into other programs' files, read from its JSON document; and time without overlaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from iamsb_core.report.evidence import FORMAT, FORMAT_VERSION, LANES, NOUNS, LaneName
from iamsb_core.report.headline import visible

RESOLUTION_SECONDS = 1e-4
"""of the times in a report"""

_LABELS = {"audio": "forged sound", "visual": "forged picture"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """One segment that the report shows."""

    lane: LaneName
    number: int
    """from 1 on in its lane, in order of start: the report's own `audio-1`"""
    start_seconds: float
    end_seconds: float
    score: float
    streams: tuple[str, ...]
    calibrated_score: float | None = None
    start_interval_seconds: tuple[float, float] | None = None
    """where the start lies, with the coverage that the report states; None where that is not known"""
    end_interval_seconds: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """Its name on the report's page."""
        return f"{self.lane}-{self.number}"

    @property
    def label(self) -> str:
        """`forged sound 0.93`; a fused segment says so and names the streams that speak for it."""
        if self.lane != "fused":
            return f"{_LABELS[self.lane]} {self.score:.2f}"
        streams = " and ".join(NOUNS[stream] for stream in self.streams)
        return f"fused: forged{' ' + streams if streams else ''} {self.score:.2f}"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an export needs of a report."""

    name: str
    """the media file's name, with controls made visible"""
    sha256: str
    created: str
    """when the report was made, ISO 8601 with its zone"""
    duration_seconds: float
    frame_rate_hz: float | None
    """None without a picture"""
    variable_frame_rate: bool
    video_delay_seconds: float
    """how long after the clip's t = 0 the picture begins"""
    summary: str
    examined: tuple[LaneName, ...]
    segments: tuple[Found, ...]
    """of all lanes, in order of start, then audio, visual, fused"""

    def of(self, lane: LaneName) -> tuple[Found, ...]:
        """The segments of one lane, in order of start."""
        return tuple(each for each in self.segments if each.lane == lane)


def read_findings(document: Mapping[str, Any]) -> Findings:
    """Raises ValueError where the data are no report of this version."""
    if document.get("format") != FORMAT:
        raise ValueError(f"no report: its format is {document.get('format')!r}, not {FORMAT!r}; give a report.json")
    if document.get("version") != FORMAT_VERSION:
        version = document.get("version")
        raise ValueError(f"the report has version {version!r}, this software reads {FORMAT_VERSION}; examine it again")
    try:
        return _read(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the report is damaged: {type(error).__name__} {error}; examine the video again") from error


def _read(document: Mapping[str, Any]) -> Findings:
    media = document["media"]
    video, audio = media["video"], media["audio"]
    starts = [stream["start_seconds"] for stream in (video, audio) if stream is not None]
    rate = None if video is None or not video["average_fps"] > 0 else float(video["average_fps"])
    found = [
        Found(
            lane=lane,
            number=number,
            start_seconds=float(each["start_seconds"]),
            end_seconds=min(float(each["end_seconds"]), float(media["duration_seconds"])),
            score=float(each["score"]),
            streams=tuple(each["streams"]),
            calibrated_score=each["calibrated_score"],
            start_interval_seconds=_pair(each["start_interval_seconds"]),
            end_interval_seconds=_pair(each["end_interval_seconds"]),
        )
        for lane in LANES
        for number, each in enumerate(document["segments"][lane], start=1)
    ]
    return Findings(
        name=visible(media["name"]),
        sha256=media["sha256"],
        created=document["created"],
        duration_seconds=float(media["duration_seconds"]),
        frame_rate_hz=rate,
        variable_frame_rate=video is not None and bool(video["variable_frame_rate"]),
        video_delay_seconds=0.0 if video is None else float(video["start_seconds"]) - min(starts),
        summary=visible(document["verdict"]["summary"]),
        examined=tuple(lane for lane in LANES if document["curves"][lane] is not None),
        segments=tuple(sorted(found, key=lambda each: (each.start_seconds, LANES.index(each.lane)))),
    )


def _pair(values: Sequence[float] | None) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def without_overlap(segments: Iterable[Found]) -> tuple[Found, ...]:
    """The segments for a format that allows one at a time: where some overlap, the best score keeps the time.

    The others keep what is left of theirs, in pieces if need be. In order of start.
    """
    kept: list[Found] = []
    for segment in sorted(segments, key=lambda each: -each.score):
        kept += _minus(segment, kept)
    return tuple(sorted(kept, key=lambda each: each.start_seconds))


def _minus(segment: Found, taken: Sequence[Found]) -> list[Found]:
    pieces = [segment]
    for other in taken:
        pieces = [piece for whole in pieces for piece in _around(whole, other.start_seconds, other.end_seconds)]
    return [piece for piece in pieces if piece.end_seconds - piece.start_seconds > RESOLUTION_SECONDS / 2]


def _around(segment: Found, start_seconds: float, end_seconds: float) -> list[Found]:
    """What lies of a segment before a stretch of time, and what after it."""
    before = replace(segment, end_seconds=min(segment.end_seconds, start_seconds))
    after = replace(segment, start_seconds=max(segment.start_seconds, end_seconds))
    return [piece for piece in (before, after) if piece.end_seconds > piece.start_seconds]


def ticks(seconds: float, per_second: int) -> int:
    """The nearest whole number of a format's units."""
    return round(seconds * per_second)


def span(segment: Found, per_second: int) -> tuple[int, int]:
    """First and last tick of a segment, at least one apart: most formats refuse a stretch without length."""
    first = ticks(segment.start_seconds, per_second)
    return first, max(first + 1, ticks(segment.end_seconds, per_second))


def clock_text(milliseconds: int, mark: str) -> str:
    """`00:00:02.310`, with this mark before the thousandths."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{milliseconds:03d}"
