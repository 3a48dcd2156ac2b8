"""One entry of AV-Deepfake1M, AV-Deepfake1M++ or DDL-AV: an object with a list of forged segments for each stream.

Fields read: `modify_type`, `audio_fake_segments`, `visual_fake_segments` (seconds), `fake_segments` where it is there
(their union), `video_frames`, `duration` where it is there, `original`, `audio_model`, `video_model`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
_MOST_NAMES = 20_000


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
            original=self._original(entry, where) if modified else None,
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
            self._repairs.add(f"modify_type {word!r} read as {mended!r}", video_id)
        return found

    def _forgeries(
        self, entry: Mapping[str, Any], modified: Modality, where: str, video_id: str
    ) -> tuple[Forgery, ...]:
        """Of each stream that was modified; segments that both streams share are forgeries of both."""
        audio, visual = (
            self._pairs_of(entry, stream, modified, where, video_id) for stream in (Modality.AUDIO, Modality.VISUAL)
        )
        if not audio and not visual:
            return self._from_union(entry, modified, where, video_id) if modified else ()
        if audio == visual:
            found = {BOTH: self._segments(audio, _FIELDS[Modality.AUDIO], where, video_id)}
        else:
            pairs_of = {Modality.AUDIO: audio, Modality.VISUAL: visual}
            found = {stream: self._segments(own, _FIELDS[stream], where, video_id) for stream, own in pairs_of.items()}
        union = entry.get("fake_segments")
        if union is not None and union != (audio or visual):
            self._compare_with_union(union, [segment for own in found.values() for segment in own], where, video_id)
        return tuple(Forgery(segment, stream) for stream, own in found.items() for segment in own)

    def _pairs_of(
        self, entry: Mapping[str, Any], stream: Modality, modified: Modality, where: str, video_id: str
    ) -> list[Any]:
        pairs: list[Any] = require(entry, _FIELDS[stream], list, where)
        if pairs and not modified & stream:
            # 6,160 entries of AV-Deepfake1M: a copy of the other stream's last segment
            fault = f"{stream_name(stream)} segments cleared where modify_type says that stream is genuine"
            self._repairs.add(fault, video_id)
            return []
        return pairs

    def _segments(self, pairs: Any, field: str, where: str, video_id: str) -> tuple[Segment, ...]:
        """A list of pairs, without those of no length and with the ends of inverted ones exchanged."""
        if not isinstance(pairs, list):
            raise ValueError(f"{where}: {field} must be a list of [start, end] in seconds, got {pairs!r:.80}")
        return tuple(filter(None, [self._segment(pair, field, where, video_id) for pair in pairs]))

    def _segment(self, pair: Any, field: str, where: str, video_id: str) -> Segment | None:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"{where}: {field} must be a list of [start, end] in seconds, got {pair!r:.80}")
        start, end = seconds(pair[0], field, where), seconds(pair[1], field, where)
        if start < end:
            return Segment(start, end)
        if start == end:
            self._repairs.add(f"{field} of no length left out", video_id)
            return None
        self._repairs.add(f"{field} that end before they start turned round", video_id)
        return Segment(end, start)

    def _from_union(
        self, entry: Mapping[str, Any], modified: Modality, where: str, video_id: str
    ) -> tuple[Forgery, ...]:
        """Of an entry whose stream lists are empty: its `fake_segments`, in the streams that were modified."""
        union = self._segments(entry.get("fake_segments", []), "fake_segments", where, video_id)
        if not union:
            raise ValueError(f"{where}: 'modify_type' is {entry['modify_type']!r}, but no forged segment is listed")
        self._repairs.add("fake_segments used where the modified stream's list is empty", video_id)
        return tuple(Forgery(segment, modified) for segment in union)

    def _compare_with_union(self, union: Any, segments: Sequence[Segment], where: str, video_id: str) -> None:
        """Note an entry whose `fake_segments` are not what its streams' segments cover together."""
        own, stated = map(_covered, (segments, self._segments(union, "fake_segments", where, video_id)))
        if own.shape != stated.shape or not np.allclose(own, stated, rtol=0.0, atol=_TOLERANCE_SECONDS):
            fault = "streams' segments used where fake_segments are not what they cover together"
            self._repairs.add(fault, video_id)

    def _original(self, entry: Mapping[str, Any], where: str) -> str | None:
        found = optional_text(entry, "original", where)
        return None if found is None else self._once(found)

    def _generator(self, entry: Mapping[str, Any], where: str) -> str | None:
        models = [optional_text(entry, name, where) for name in ("audio_model", "video_model") if name in entry]
        return self._once(" + ".join(filter(None, models))) or None

    def _once(self, text: str) -> str:
        """One object for equal names that come near one another; a million entries name a few thousand."""
        if len(self._known) > _MOST_NAMES:
            self._known.clear()
        return self._known.setdefault(text, text)


def _covered(segments: Sequence[Segment]) -> NDArray[np.float64]:
    return merge_segments(np.array([(s.start, s.end) for s in segments], dtype=np.float64).reshape(-1, 2))


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
