"""What the builder's processes do: draw or make one thing each, and leave a note when it is whole."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2

from iamsb_core.digest import plain
from iamsb_core.forgery.clip_maker import ForgedClip, forge_clip, genuine_clip
from iamsb_core.forgery.config import FRAME_RATE_HZ, ForgeConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.plan import ClipPlan
from iamsb_core.forgery.recording import Recording, load_recording
from iamsb_core.forgery.takes import Pictures

_NUM_RECORDINGS_OPEN = 64


def make_clip(plan: ClipPlan, config: ForgeConfig, recordings: Path, out: Path, notes: Path) -> None:
    """Write out/<file> and, last, notes/<number>.json with its metadata; nothing is done where that is there."""
    note = note_path(notes, plan)
    if note.is_file():
        return
    keys = {piece.source for piece in plan.pieces} | set(plan.others)
    known = {key: _recording(recordings / key) for key in keys}
    clip = forge_clip(plan, known, config)
    path = out / plan.file
    path.parent.mkdir(parents=True, exist_ok=True)
    encode_clip(path, clip.pictures, clip.waveform, config.clip_encoding)
    partial = note.with_suffix(".partial")
    partial.write_text(json.dumps(_note(plan, known, clip)))
    partial.replace(note)


def make_genuine(plan: ClipPlan, config: ForgeConfig, recordings: Path, path: Path) -> None:
    """Write the clip as it was before forging, encoded alike; nothing is done where it is there."""
    if not path.is_file():
        genuine = genuine_clip(plan, {piece.source: _recording(recordings / piece.source) for piece in plan.pieces})
        encode_clip(path, Pictures(genuine, ()), genuine.waveform(), config.clip_encoding)


def note_path(notes: Path, plan: ClipPlan) -> Path:
    """Where a made clip's metadata is kept until all are made."""
    return notes / f"{plan.number:06d}.json"


def _note(plan: ClipPlan, recordings: dict[str, Recording], clip: ForgedClip) -> dict[str, Any]:
    first = plan.pieces[0]
    return {
        "file": plan.file,
        "split": plan.split,
        "kind": plan.kind,
        "num_frames": plan.num_frames,
        "audio": plain(clip.audio),
        "visual": plain(clip.visual),
        "identity": recordings[first.source].person,
        "source": recordings[first.source].name,
        "source_start_seconds": first.first_frame / FRAME_RATE_HZ,
        "takes": [
            {
                "source": recordings[piece.source].name,
                "start_seconds": piece.first_frame / FRAME_RATE_HZ,
                "duration_seconds": piece.num_frames / FRAME_RATE_HZ,
            }
            for piece in plan.pieces
        ],
        "original": plan.original,
    }


@lru_cache(maxsize=_NUM_RECORDINGS_OPEN)
def _recording(folder: Path) -> Recording:
    return load_recording(folder)


def forget_recordings() -> None:
    """Let go of the recordings of an earlier run, whose folders may have had the same names."""
    _recording.cache_clear()


def set_up_worker() -> None:
    """Set up a worker process: as many processes as cores run at once, each with one thread, and none without parent.

    A parent that is killed cannot end its workers, and they would wait for more to do for ever.
    """
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
