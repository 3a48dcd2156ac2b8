"""The truth of each stream, which LAV-DF's own metadata cannot hold: `metadata.streams.json`.

    {"format": "iamsb-streams/1", "digest": "...",
     "videos": {"train/000001.mp4": {"audio": [{"start": 1.2, "end": 1.9, "method": "splice_other"}], "visual": [],
                                     "identity": "...", "source": "...", "source_start_seconds": 3.4}}}

Start and end are seconds: whole samples at 16 kHz for audio, whole frames at 25 Hz for the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.datasets.fields import load_json, optional_text, require, segment_of
from iamsb_core.manifest import STREAMS, Forgery, stream_name
from iamsb_core.timeline import Segment, merge_segments

STREAMS_FILE = "metadata.streams.json"
STREAMS_FORMAT = "iamsb-streams/1"
_TOLERANCE_SECONDS = 1e-3


@dataclass(frozen=True, slots=True)
class StreamTruth:
    """What is known of one video beyond LAV-DF's own metadata."""

    forgeries: tuple[Forgery, ...]
    identity: str | None
    generator: str | None

    def check_against(self, periods: tuple[Segment, ...], where: str) -> None:
        """Raises ValueError unless the streams' segments together cover what LAV-DF's list covers, to 1 ms."""
        own, other = (_union(found) for found in ([f.segment for f in self.forgeries], periods))
        if own.shape != other.shape or not np.allclose(own, other, rtol=0.0, atol=_TOLERANCE_SECONDS):
            raise ValueError(
                f"{where}: fake_periods are {other.tolist()}, but {STREAMS_FILE} has {own.tolist()}; "
                f"one of the two was changed: forge the dataset again, or remove {STREAMS_FILE}"
            )


def read_stream_truth(path: Path) -> dict[str, StreamTruth]:
    """By LAV-DF's `file`. Raises ValueError where the file is not in the format above."""
    document = load_json(path)
    if not isinstance(document, dict) or document.get("format") != STREAMS_FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise ValueError(f"{path} must be of format {STREAMS_FORMAT!r}, got {found!r}; forge the dataset again")
    videos = require(document, "videos", dict, path.name)
    return {file: _truth(entry, f"{path.name}[{file!r}]") for file, entry in videos.items()}


def _truth(entry: Any, where: str) -> StreamTruth:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    forgeries: list[Forgery] = []
    methods: list[str] = []
    for modality in STREAMS:
        name = stream_name(modality)
        for i, item in enumerate(require(entry, name, list, where)):
            here = f"{where}: {name}[{i}]"
            segment = _segment(item, here)
            forgeries.append(Forgery(segment, modality))
            methods.append(f"{name}:{optional_text(item, 'method', here) or 'unknown'}")
    generator = "+".join(dict.fromkeys(methods)) or None
    return StreamTruth(tuple(forgeries), optional_text(entry, "identity", where), generator)


def _segment(item: Any, where: str) -> Segment:
    if not isinstance(item, Mapping):
        raise ValueError(f"{where} must be an object with start and end, got {item!r:.80}")
    pair = [require(item, "start", object, where), require(item, "end", object, where)]
    segment = segment_of(pair, where)
    if segment is None:
        raise ValueError(f"{where} has no length: {pair}")
    return segment


def _union(segments: list[Segment] | tuple[Segment, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return merge_segments(np.asarray([(s.start, s.end) for s in segments], dtype=np.float64).reshape(-1, 2))
