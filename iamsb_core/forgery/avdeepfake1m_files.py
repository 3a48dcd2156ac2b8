"""Writes what was made as AV-Deepfake1M is laid out (Cai et al., ACM MM 2024), as its public loader reads it.

    train_metadata.json, val_metadata.json      lists; `file` is relative to the split's folder
    train_metadata/<id>/<source>/<window>/{real,real_video_fake_audio,...}.json      one for each clip
    train/<id>/<source>/<window>/<same>.mp4, val/..., test/000000.mp4, test_files.txt

The benchmark keeps the labels of its test clips to itself; here they are in test_metadata.json, in the same form.
The layout has no field for the methods of the picture; metadata.streams.json has each segment's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.forgery.config import SAMPLES_PER_FRAME
from iamsb_core.forgery.lavdf_files import write_json, write_streams_file
from iamsb_core.forgery.names import SPLIT_FOLDERS
from iamsb_core.manifest import SPLITS, Split
from iamsb_core.timeline import merge_segments

_FOLDERS = SPLIT_FOLDERS["av-deepfake1m"]


def write_avdeepfake1m_files(folder: Path, notes: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """The metadata of the clips, in the order of their notes (test clips in the order of their names).

    about: what goes to the head of metadata.streams.json: configuration, digest, summary.
    """
    for split in SPLITS:
        name = _FOLDERS[split]
        entries = [_entry(note, split) for note in notes if note["split"] == split]
        if split == "test":
            entries.sort(key=lambda entry: entry["file"])
            (folder / "test_files.txt").write_text("".join(f"{entry['file']}\n" for entry in entries))
        else:
            _write_each(folder / f"{name}_metadata", entries)
        write_json(folder / f"{name}_metadata.json", entries)
    write_streams_file(folder, notes, about)


def _write_each(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    for entry in entries:
        path = (folder / entry["file"]).with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entry, ensure_ascii=False), encoding="utf-8")


def _entry(note: Mapping[str, Any], split: Split) -> dict[str, Any]:
    """One object of the benchmark's list; `fake_segments` is the union of both streams'."""
    audio, visual = ([[span["start"], span["end"]] for span in note[stream]] for stream in ("audio", "visual"))
    union = merge_segments(np.asarray(audio + visual, dtype=np.float64).reshape(-1, 2)).tolist()
    original = note["source"] if note["original"] is None else _in_split(note["original"], split)
    return {
        "file": _in_split(note["file"], split),
        "original": original,
        "split": _FOLDERS[split],
        "modify_type": _modify_type(bool(audio), bool(visual)),
        "audio_model": "+".join(dict.fromkeys(span["method"] for span in note["audio"])),
        "fake_segments": union,
        "audio_fake_segments": audio,
        "visual_fake_segments": visual,
        "video_frames": note["num_frames"],
        "audio_frames": note["num_frames"] * SAMPLES_PER_FRAME,
    }


def _in_split(file: str, split: Split) -> str:
    return file.removeprefix(f"{_FOLDERS[split]}/")


def _modify_type(audio: bool, visual: bool) -> str:
    if audio and visual:
        return "both_modified"
    return "audio_modified" if audio else "visual_modified" if visual else "real"
