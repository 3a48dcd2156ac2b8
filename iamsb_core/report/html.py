"""The report as one self-contained HTML page: no network, no other file, readable on paper and by keyboard."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from iamsb_core.media.clip import DecodedClip
from iamsb_core.report import templates
from iamsb_core.report.bridge_drawing import BridgeDrawing, bridge_drawing
from iamsb_core.report.drawing import Tick, curve_path, envelope_path, thumbnails, ticks
from iamsb_core.report.evidence import LANES, NOUNS, LaneName, Report, ReportedSegment
from iamsb_core.report.evidence_tables import Table
from iamsb_core.report.exports import export
from iamsb_core.report.headline import clock, joined, percent, stretch, visible
from iamsb_core.report.player import Player, player
from iamsb_core.report.spectrogram import spectrogram_uri
from iamsb_core.report.tables import tables
from iamsb_core.report.verdict import score_text

_NARROWEST_PERCENT = 0.2
_TITLES: dict[LaneName, str] = {"audio": "Sound", "visual": "Picture", "fused": "Fused"}


@dataclass(frozen=True, slots=True)
class Whisker:
    """Where an end of a segment may lie: from and to, in per cent of the time line, and in words."""

    low_percent: float
    high_percent: float
    text: str

    @property
    def drawn(self) -> bool:
        """Whether it is wide enough to be seen; the table says it all the same."""
        return self.high_percent - self.low_percent >= _NARROWEST_PERCENT


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment as the page draws and lists it; percentages are of the time line's width."""

    key: str
    segment: ReportedSegment
    left_percent: float
    width_percent: float
    start: str
    end: str
    length: str
    streams: str
    probability: str
    """calibrated; empty where it is not"""
    start_whisker: Whisker | None
    end_whisker: Whisker | None
    spoken: str

    @property
    def middle_percent(self) -> float:
        return round(self.left_percent + self.width_percent / 2, 4)


@dataclass(frozen=True, slots=True)
class LaneView:
    """A row of the time line as the page draws it."""

    name: LaneName
    title: str
    examined: bool
    note: str
    segments: tuple[SegmentView, ...]
    curve: str
    cells: str
    """empty where the system does not tell what its cells say"""
    num_proposals: int
    best_score: float | None


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows."""

    report: Report
    lanes: tuple[LaneView, ...]
    ticks: tuple[Tick, ...]
    waveform: str | None
    spectrogram: str | None
    player: Player
    thumbnails: tuple[str, ...]
    tables: tuple[Table, ...]
    bridges: BridgeDrawing | None
    """what the system tells of its own way to the result"""
    name: str
    duration: str
    style: str
    script: str

    @property
    def headline(self) -> str:
        """The verdict in words, with no line break inside `2.31 s` or `2.31 to 2.94 s`."""
        return re.sub(r"(?<=\d) (?=s\b|to\b)|(?<=\d to) ", "\N{NO-BREAK SPACE}", self.report.verdict.summary)

    @property
    def tone(self) -> str:
        """The class by which the page is coloured."""
        return {"forged": "forged", "not enough evidence": "doubt"}.get(self.report.verdict.decision, "clear")

    @property
    def probability(self) -> str:
        """That the clip is forged; empty where it is not calibrated."""
        calibrated = self.report.verdict.calibrated_score
        return "" if calibrated is None else percent(calibrated)

    @property
    def shown_from(self) -> str:
        """The score from which segments are shown."""
        return score_text(self.report.thresholds.display)

    @property
    def has_whiskers(self) -> bool:
        """Whether any segment's ends have intervals."""
        return any(each.start_whisker is not None for lane in self.lanes for each in lane.segments)

    @property
    def has_probabilities(self) -> bool:
        """Whether any segment's score is calibrated."""
        return any(each.probability for lane in self.lanes for each in lane.segments)

    @property
    def has_cells(self) -> bool:
        """Whether any stream tells of its cells."""
        return any(lane.cells for lane in self.lanes)

    @property
    def script_hash(self) -> str:
        """What the page's content security policy lets run: this script and no other."""
        return base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode("ascii")


def render_html(report: Report, clip: DecodedClip, folder: Path | None = None, *, embed_video: bool = False) -> str:
    """The page; `clip` gives the waveform and the pictures that are drawn behind the segments.

    It plays the media from where it lies, as seen from `folder`, or from its own bytes with embed_video.
    """
    return (
        templates.environment()
        .get_template("report.html.jinja")
        .render(page=_page(report, clip, player(report.media_path, folder, export(report, "vtt"), embed=embed_video)))
    )


def _page(report: Report, clip: DecodedClip, plays: Player) -> Page:
    duration_seconds = report.media.duration_seconds
    return Page(
        report=report,
        lanes=tuple(_lane_view(name, report, duration_seconds) for name in LANES),
        ticks=ticks(duration_seconds),
        waveform=None if clip.waveform is None else envelope_path(clip.waveform),
        spectrogram=None if clip.waveform is None else spectrogram_uri(clip.waveform),
        player=plays,
        thumbnails=() if clip.frames is None else thumbnails(clip.frames),
        tables=tables(report),
        bridges=bridge_drawing(report.evidence, duration_seconds),
        name=visible(report.media.name),
        duration=clock(duration_seconds),
        style=templates.assets("report.css"),
        script=templates.assets("report.js"),
    )


def _lane_view(name: LaneName, report: Report, duration_seconds: float) -> LaneView:
    lane, cells = report.lanes[name], report.cells[name]
    if lane is None:
        return LaneView(name, _TITLES[name], False, "Not examined", (), "", "", 0, None)
    number = len(lane.segments)
    shown = (_segment_view(name, index, each, duration_seconds) for index, each in enumerate(lane.segments, start=1))
    return LaneView(
        name=name,
        title=_TITLES[name],
        examined=True,
        note="No segment" if not number else f"{number} segment{'' if number == 1 else 's'}",
        segments=tuple(shown),
        curve=curve_path(lane.curve, duration_seconds),
        cells="" if cells is None else curve_path(cells, duration_seconds),
        num_proposals=len(lane.proposals),
        best_score=lane.proposals[0][2] if lane.proposals else 0.0,
    )


def _segment_view(name: LaneName, number: int, segment: ReportedSegment, duration_seconds: float) -> SegmentView:
    start, end = clock(segment.start_seconds), clock(segment.end_seconds)
    streams = joined([NOUNS[stream] for stream in segment.streams]) if segment.streams else "cannot be told"
    what = f"Fused ({streams})" if name == "fused" else _TITLES[name]
    probability = "" if segment.calibrated_score is None else percent(segment.calibrated_score)
    surely = f", probability {probability}" if probability else ""
    return SegmentView(
        key=f"{name}-{number}",
        segment=segment,
        left_percent=round(100.0 * segment.start_seconds / duration_seconds, 4),
        width_percent=round(100.0 * (segment.end_seconds - segment.start_seconds) / duration_seconds, 4),
        start=start,
        end=end,
        length=clock(segment.end_seconds - segment.start_seconds),
        streams=streams,
        probability=probability,
        start_whisker=_whisker(segment.start_interval_seconds, duration_seconds),
        end_whisker=_whisker(segment.end_interval_seconds, duration_seconds),
        spoken=f"{what}: forged from {start} to {end}, score {segment.score:.2f}{surely}",
    )


def _whisker(interval: tuple[float, float] | None, duration_seconds: float) -> Whisker | None:
    if interval is None:
        return None
    low, high = (round(100.0 * seconds / duration_seconds, 4) for seconds in interval)
    return Whisker(low, high, stretch(*interval))
