"""The verdict in words, and times as a reader says them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from iamsb_core.report.evidence import NOUNS, Decision, Lane, LaneName, ReportedSegment
from iamsb_core.timeline import merge_segments

_MOST_NAMED = 3


def clock(seconds: float) -> str:
    """Seconds as text: `2.31 s`, from a minute on `1:02.31`, from an hour on `1:02:03.45`."""
    hundredths = round(seconds * 100)
    if hundredths < 6000:
        return f"{hundredths / 100:.2f} s"
    minutes, rest = divmod(hundredths, 6000)
    if minutes < 60:
        return f"{minutes}:{rest / 100:05.2f}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest / 100:05.2f}"


def visible(text: str) -> str:
    """The text with line breaks, other controls and marks that turn the writing direction shown as `\\u202e`.

    Without this a file name can pass for another one on the page.
    """
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def between(start_seconds: float, end_seconds: float) -> str:
    """`between 2.31 s and 2.94 s`."""
    return f"between {clock(start_seconds)} and {clock(end_seconds)}"


def stretch(start_seconds: float, end_seconds: float) -> str:
    """`2.31 to 2.94 s`: short, for lists."""
    start, end = clock(start_seconds), clock(end_seconds)
    return f"{start.removesuffix(' s') if end.endswith(' s') else start} to {end}"


def percent(probability: float) -> str:
    """`88%`; never 0% or 100% for what is not certain."""
    text = f"{probability:.0%}"
    return {"0%": "below 1%", "100%": "above 99%"}.get(text, text)


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def summary(decision: Decision, clip_score: float, forged_from: float, lanes: Mapping[LaneName, Lane | None]) -> str:
    """The verdict in one sentence, without a full stop."""
    if all(lanes[name] is None for name in ("audio", "visual")):
        return "Nothing to examine: the file has neither sound nor picture that can be read"
    if decision == "forged":
        return _forged(clip_score, lanes)
    if decision == "not enough evidence":
        return "; ".join(
            ["Not enough evidence to call it forged or to clear it", *_doubts(clip_score, forged_from, lanes)]
        )
    streams = [NOUNS[name] for name in ("audio", "visual") if lanes[name] is not None]
    return "; ".join([f"No evidence of forgery in the {' or the '.join(streams)}", *_missing(lanes)])


def _doubts(clip_score: float, forged_from: float, lanes: Mapping[LaneName, Lane | None]) -> list[str]:
    """Why there is neither the one verdict nor the other."""
    shown = max(len(lane.segments) for lane in lanes.values() if lane)
    if clip_score >= forged_from:
        return ["nothing in the file is fit to be examined", *_missing(lanes)]
    look = f", though {_plural(shown, 'stretch', 'stretches')} below would bear a look" if shown else ""
    return [f"the clip's score, {clip_score:.2f}, stays below {forged_from:.2f}{look}", *_missing(lanes)]


def _forged(clip_score: float, lanes: Mapping[LaneName, Lane | None]) -> str:
    said = [f"forged {NOUNS[name]} {_where(lane.segments)}" for name, lane in _streams(lanes) if lane.segments]
    clear = [f"no evidence against the {NOUNS[name]}" for name, lane in _streams(lanes) if not lane.segments]
    fused = lanes["fused"]
    if not said and fused is not None and fused.segments:
        said, clear = [f"forged {_where(fused.segments)}, in a stream that cannot be told apart"], []
    if not said:
        said, clear = [f"forged (score {clip_score:.2f}), but no single stretch stands out"], []
    sentence = "; ".join([*said, *clear, *_missing(lanes)])
    return sentence[0].upper() + sentence[1:]


def _streams(lanes: Mapping[LaneName, Lane | None]) -> list[tuple[str, Lane]]:
    return [(name, lane) for name, lane in lanes.items() if name != "fused" and lane is not None]


def _missing(lanes: Mapping[LaneName, Lane | None]) -> list[str]:
    return [f"no {NOUNS[name]} to examine" for name, lane in lanes.items() if name != "fused" and lane is None]


def _where(segments: Sequence[ReportedSegment]) -> str:
    rows = np.asarray([(each.start_seconds, each.end_seconds) for each in segments])
    places = merge_segments(rows).tolist()
    if len(places) == 1:
        return between(*places[0])
    if len(places) <= _MOST_NAMED:
        return f"at {joined([stretch(start, end) for start, end in places])}"
    best = max(segments, key=lambda each: each.score)
    return f"in {len(places)} places, most surely {between(best.start_seconds, best.end_seconds)}"


def _plural(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
