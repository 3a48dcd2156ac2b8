"""An edit decision list in CMX 3600 form: the forged stretches as cuts on the clip's own timecode.

Times are frames of the clip, counted from its first picture at 00:00:00:00: a segment owns the frames whose middle it
contains. Forged sound is an event on channel A, forged picture one on V, and a fused segment that no stream speaks for
one on B (both). A channel holds one event at a time: where segments of a lane overlap, the one with the better score
keeps the time (`without_overlap`). Source and record times are the same, so the list lies over the clip as it is.

29.97 and 59.94 frames a second are counted in drop-frame timecode (`FCM: DROP FRAME`, `;` before the frames), which
follows the clock; every other rate in non-drop timecode. Timecode needs one rate: a clip of variable rate is counted
at the rate nearest to its average, one without a picture at 25, and a comment says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from iamsb_core.report.exports.findings import Findings, Found, without_overlap

_WITHOUT_PICTURE_HZ = 25
_STANDARD_HZ = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60", "100", "120000/1001")
)
_NEAR = 0.004
"""relative; the rates of 24 and 23.976 are 0.001 apart, and the nearest is taken"""
_MAX_NAME = 200


@dataclass(frozen=True)
class Timecode:
    """How frames are counted."""

    rate_hz: Fraction
    exact: bool
    """whether the clip has this very rate"""

    @property
    def nominal(self) -> int:
        """Frames in a second of timecode."""
        return round(self.rate_hz)

    @property
    def drops(self) -> bool:
        """Whether two (four at 59.94) frame numbers are left out a minute, but for every tenth."""
        return self.rate_hz in (Fraction(30000, 1001), Fraction(60000, 1001))

    def frame(self, seconds: float) -> int:
        """The first frame whose middle is not before this time, counted from the first picture."""
        return max(0, round(seconds * float(self.rate_hz)))

    def text(self, frame: int) -> str:
        """`00:01:00;02`; SMPTE ST 12-1 counts 17982 frames in ten minutes of 29.97 drop-frame timecode."""
        nominal, dropped = self.nominal, self.nominal // 15 if self.drops else 0
        in_minute = 60 * nominal - dropped
        in_ten = 10 * in_minute + dropped
        tens, rest = divmod(frame, in_ten)
        frame += 9 * dropped * tens + dropped * max(0, (rest - dropped) // in_minute)
        seconds, frames = divmod(frame, nominal)
        mark = ";" if self.drops else ":"
        return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frames:02d}"


def timecode(findings: Findings) -> Timecode:
    """The standard rate nearest to the clip's; a constant rate that is near to none is counted in whole frames."""
    rate = findings.frame_rate_hz
    if rate is None:
        return Timecode(Fraction(_WITHOUT_PICTURE_HZ), exact=False)
    nearest = min(_STANDARD_HZ, key=lambda standard: abs(float(standard) - rate))
    if abs(float(nearest) - rate) <= _NEAR * rate or findings.variable_frame_rate:
        return Timecode(nearest, exact=not findings.variable_frame_rate)
    return Timecode(Fraction(max(1, round(rate))), exact=abs(round(rate) - rate) <= _NEAR * rate)


def edl(findings: Findings) -> str:
    """The list, with DOS line ends as editing programs write them."""
    clock = timecode(findings)
    lines = [f"TITLE: {_plain(findings.name)}", f"FCM: {'DROP FRAME' if clock.drops else 'NON-DROP FRAME'}", ""]
    for number, (channel, segment) in enumerate(_events(findings), start=1):
        lines += _event(number, channel, segment, findings, clock)
        if number == 1:  # readers take a comment for that of the event before it, and refuse one before the first
            lines += [f"* {note}" for note in _notes(findings, clock)]
    return "\r\n".join(lines) + "\r\n"


def _notes(findings: Findings, clock: Timecode) -> Iterable[str]:
    yield f"SHA-256 {findings.sha256}"
    yield _plain(findings.summary)
    counted = f"{'DROP' if clock.drops else 'NON-DROP'} FRAME TIMECODE AT {float(clock.rate_hz):.6g} FRAMES A SECOND"
    if clock.exact:
        yield counted
    elif findings.frame_rate_hz is None:
        yield f"{counted}; THE CLIP HAS NO PICTURE"
    else:
        yield f"{counted}; THE CLIP HAS {findings.frame_rate_hz:.6g} ON AVERAGE"


def _events(findings: Findings) -> list[tuple[str, Found]]:
    """(channel, segment) in order of start."""
    streams = (*findings.of("audio"), *findings.of("visual"))
    alone = [each for each in findings.of("fused") if not any(_overlap(each, other) for other in streams)]
    lanes = {"A": findings.of("audio"), "V": findings.of("visual"), "B": tuple(alone)}
    events = [(channel, each) for channel, lane in lanes.items() for each in without_overlap(lane)]
    return sorted(events, key=lambda event: event[1].start_seconds)


def _overlap(one: Found, other: Found) -> bool:
    return one.start_seconds < other.end_seconds and other.start_seconds < one.end_seconds


def _event(number: int, channel: str, segment: Found, findings: Findings, clock: Timecode) -> list[str]:
    delay_seconds = findings.video_delay_seconds
    first = clock.frame(segment.start_seconds - delay_seconds)
    last = max(first + 1, clock.frame(segment.end_seconds - delay_seconds))
    times = f"{clock.text(first)} {clock.text(last)}"
    return [
        f"{number:03d}  AX       {channel:<5} C        {times} {times}",
        f"* FROM CLIP NAME: {_plain(findings.name)}",
        f"* COMMENT: {segment.key} {segment.label}",
    ]


def _plain(text: str) -> str:
    """A comment's text: the format is ASCII; other letters become question marks."""
    return text.encode("ascii", "replace").decode("ascii")[:_MAX_NAME]
