"""Writes what was made as LAV-DF writes it, with the truth of each stream beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.datasets.stream_truth import STREAMS_FILE, STREAMS_FORMAT
from iamsb_core.forgery.config import FRAME_RATE_HZ, SAMPLES_PER_FRAME
from iamsb_core.timeline import merge_segments

_KEPT_NOTES = (
    *("split", "kind", "num_frames", "audio", "visual"),
    *("identity", "source", "source_start_seconds", "takes", "original"),
)


def write_lavdf_files(folder: Path, notes: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """metadata.min.json, metadata.json and metadata.streams.json of the clips, in the order of their notes.

    about: what goes to the head of metadata.streams.json: configuration, digest, summary.
    """
    entries = [_entry(note) for note in notes]
    full = [{**entry, "timestamps": [], "transcript": ""} for entry in entries]
    write_json(folder / "metadata.min.json", entries)
    write_json(folder / "metadata.json", full)
    write_streams_file(folder, notes, about)


def write_streams_file(folder: Path, notes: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """metadata.streams.json: the truth of each stream by file, under the head `about`."""
    videos = {note["file"]: {key: note[key] for key in _KEPT_NOTES} for note in notes}
    write_json(folder / STREAMS_FILE, {"format": STREAMS_FORMAT, **about, "videos": videos})


def _entry(note: Mapping[str, Any]) -> dict[str, Any]:
    """One object of LAV-DF's list: one list of periods for both streams, and which streams were touched."""
    spans = [(span["start"], span["end"]) for stream in ("audio", "visual") for span in note[stream]]
    periods = merge_segments(np.asarray(spans, dtype=np.float64).reshape(-1, 2)).tolist()
    return {
        "file": note["file"],
        "n_fakes": len(periods),
        "fake_periods": periods,
        "duration": note["num_frames"] / FRAME_RATE_HZ,
        "original": None,
        "modify_video": bool(note["visual"]),
        "modify_audio": bool(note["audio"]),
        "split": note["split"],
        "video_frames": note["num_frames"],
        "audio_channels": 1,
        "audio_frames": note["num_frames"] * SAMPLES_PER_FRAME,
    }


def write_json(path: Path, value: Any) -> None:
    """The value as indented JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
