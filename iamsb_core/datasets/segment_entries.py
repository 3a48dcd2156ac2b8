"""One entry of AV-Deepfake1M, AV-Deepfake1M++ or DDL-AV: an object with a list of forged segments for each stream.

Fields read: `modify_type`, `audio_fake_segments`, `visual_fake_segments` (seconds), `fake_segments` where it is there
(their union), `video_frames`, `duration` where it is there, `original`, `audio_model`, `video_model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.datasets.fields import optional_text, require, seconds
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.manifest import NO_STREAM, STREAMS, Forgery, Modality, Split, VideoRecord, stream_name
from iamsb_core.timeline import Segment, merge_segments

FRAMES_HZ = 25.0
"""of the videos in all three"""
BOTH = Modality.AUDIO | Modality.VISUAL
_MODIFY_TYPES = {
    "real": NO_STREAM,
    "audio_modified": Modality.AUDIO,
    "visual_modified": Modality.VISUAL,
    "both_modified": BOTH,
    "real_audio_real_visual": NO_STREAM,
    "fake_audio_real_visual": Modality.AUDIO,
    "real_audio_fake_visual": Modality.VISUAL,
    "fake_audio_fake_visual": BOTH,
}
"""AV-Deepfake1M's words and DDL-AV's"""
_FIELDS = {stream: f"{stream_name(stream)}_fake_segments" for stream in STREAMS}
_TOLERANCE_SECONDS = 1e-3


class EntryReader:
    """Makes records of entries, and notes what it mends; equal names of people and methods are kept once."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._known: dict[str, str] = {}

    def record(
        self, entry: Mapping[str, Any], where: str, *, video_id: str, path: Path, split: Split, identity: str | None
    ) -> VideoRecord:
        """The record of one entry. Raises ValueError where a field is not what the benchmark says it is."""
        modified = self._modified(require(entry, "modify_type", str, where), where, video_id)
        return VideoRecord(
            video_id=video_id,
            path=path,
            split=split,
            duration_seconds=_duration(entry, where),
            forgeries=self._forgeries(entry, modified, where, video_id),
            identity=None if identity is None else self._once(identity),
            original=optional_text(entry, "original", where) if modified else None,
            generator=self._generator(entry, where) if modified else None,
        )

    def _modified(self, word: str, where: str, video_id: str) -> Modality:
        """The streams that modify_type names, which is written with a hyphen in places."""
        found = _MODIFY_TYPES.get(word)
        if found is None:
            mended = word.replace("-", "_").lower()
            found = _MODIFY_TYPES.get(mended)
            if found is None:
                raise ValueError(f"{where}: 'modify_type' must be one of {', '.join(_MODIFY_TYPES)}, got {word!r}")
            self._repairs.add(f"write modify_type {word!r}; read as {mended!r}", video_id)
        return found

    def _forgeries(
        self, entry: Mapping[str, Any], modified: Modality, where: str, video_id: str
    ) -> tuple[Forgery, ...]:
        """Of each stream that was modified; a segment that both streams share is one forgery of both."""
        found = {stream: self._segments(entry, field, where, video_id) for stream, field in _FIELDS.items()}
        for stream, segments in found.items():
            if segments and not modified & stream:
                # 6,160 entries of AV-Deepfake1M: a copy of the other stream's last segment
                name = stream_name(stream)
                self._repairs.add(f"list {name} segments though their {name} was not modified; cleared", video_id)
                found[stream] = ()
        audio, visual = found.values()
        if modified and not audio and not visual:
            return self._from_union(entry, modified, where, video_id)
        self._compare_with_union(entry, (*audio, *visual), where, video_id)
        if audio == visual:
            return tuple(Forgery(segment, BOTH) for segment in audio)
        return tuple(Forgery(segment, stream) for stream, segments in found.items() for segment in segments)

    def _segments(self, entry: Mapping[str, Any], field: str, where: str, video_id: str) -> tuple[Segment, ...]:
        """A list of pairs, without those of no length and with the ends of inverted ones exchanged."""
        pairs = require(entry, field, list, where)
        return tuple(filter(None, (self._segment(pair, field, where, video_id) for pair in pairs))) if pairs else ()

    def _segment(self, pair: Any, field: str, where: str, video_id: str) -> Segment | None:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"{where}: {field} must be a list of [start, end] in seconds, got {pair!r:.80}")
        start, end = seconds(pair[0], field, where), seconds(pair[1], field, where)
        if start < end:
            return Segment(start, end)
        if start == end:
            self._repairs.add(f"list {field} of no length; left out", video_id)
            return None
        self._repairs.add(f"list {field} that end before they start; start and end exchanged", video_id)
        return Segment(end, start)

    def _from_union(
        self, entry: Mapping[str, Any], modified: Modality, where: str, video_id: str
    ) -> tuple[Forgery, ...]:
        """Of an entry whose stream lists are empty: its `fake_segments`, in the streams that were modified."""
        union = self._segments(entry, "fake_segments", where, video_id) if "fake_segments" in entry else ()
        if not union:
            raise ValueError(f"{where}: 'modify_type' is {entry['modify_type']!r}, but no forged segment is listed")
        self._repairs.add("list no segments of the modified stream; took fake_segments", video_id)
        return tuple(Forgery(segment, modified) for segment in union)

    def _compare_with_union(
        self, entry: Mapping[str, Any], segments: Sequence[Segment], where: str, video_id: str
    ) -> None:
        """Note an entry whose `fake_segments` are not what its streams' segments cover together."""
        if "fake_segments" not in entry:
            return
        stated = self._segments(entry, "fake_segments", where, video_id)
        if set(stated) == set(segments):
            return
        own, other = (
            merge_segments(np.array([(s.start, s.end) for s in some]).reshape(-1, 2)) for some in (segments, stated)
        )
        if own.shape != other.shape or not np.allclose(own, other, rtol=0.0, atol=_TOLERANCE_SECONDS):
            self._repairs.add(
                "list other fake_segments than their streams' segments cover; used the streams'", video_id
            )

    def _generator(self, entry: Mapping[str, Any], where: str) -> str | None:
        models = [optional_text(entry, name, where) for name in ("audio_model", "video_model") if name in entry]
        return self._once(" + ".join(filter(None, models))) or None

    def _once(self, text: str) -> str:
        return self._known.setdefault(text, text)


def _duration(entry: Mapping[str, Any], where: str) -> float | None:
    """As stated, or from the number of video frames; None where neither is there."""
    if entry.get("duration") is not None:
        stated = seconds(entry["duration"], "duration", where)
    elif entry.get("video_frames") is not None:
        stated = require(entry, "video_frames", int, where) / FRAMES_HZ
    else:
        return None
    if stated <= 0:
        raise ValueError(f"{where}: a video must last more than 0 s, got {stated} s")
    return stated
