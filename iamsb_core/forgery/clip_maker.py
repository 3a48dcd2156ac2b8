"""Makes one clip: cuts it from its recording, forges it where planned, encodes it, and says what was done."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iamsb_core.digest import plain
from iamsb_core.forgery.audio_edits import forge_audio
from iamsb_core.forgery.config import FRAME_RATE_HZ, SAMPLES_PER_FRAME, ForgeConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.placement import Span, place_spans
from iamsb_core.forgery.plan import ClipPlan
from iamsb_core.forgery.recording import Recording, load_recording
from iamsb_core.forgery.visual_edits import forge_frames, visible_change
from iamsb_core.media.clip import SAMPLE_RATE_HZ

_NUM_VISUAL_TRIES = 4
_MIN_VISIBLE_CHANGE = 8.0
"""grey levels, see `visible_change`: above what coding at CRF 23 leaves"""


@dataclass(frozen=True, slots=True)
class ForgedSpan:
    """One true segment of one stream, in seconds."""

    start: float
    end: float
    method: str


@dataclass(frozen=True)
class ForgedClip:
    """A clip before encoding, with its truth."""

    frames: NDArray[np.uint8]
    waveform: NDArray[np.float32]
    audio: tuple[ForgedSpan, ...]
    visual: tuple[ForgedSpan, ...]


def forge_clip(plan: ClipPlan, recording: Recording, others: tuple[Recording, ...], config: ForgeConfig) -> ForgedClip:
    """Cut and forge one clip; a pure function of its arguments."""
    rng = np.random.default_rng(plan.seed)
    first, last = plan.first_frame, plan.first_frame + plan.num_frames
    frames = np.asarray(recording.frames[first:last])
    waveform = recording.waveform[first * SAMPLES_PER_FRAME : last * SAMPLES_PER_FRAME]
    audio_spans, visual_spans = _spans(plan, recording.voiced[first:last], config, rng)
    audio: list[ForgedSpan] = []
    visual: list[ForgedSpan] = []
    for span in audio_spans:
        waveform, done = _forge_audio_span(waveform, first, span, recording, others, config=config, rng=rng)
        audio.append(done)
    for span in visual_spans:
        frames, done = _forge_visual_span(frames, first, span, recording, others, config=config, rng=rng)
        visual.append(done)
    return ForgedClip(frames, waveform, tuple(audio), tuple(visual))


def _forge_audio_span(
    waveform: NDArray[np.float32],
    first_frame: int,
    span: Span,
    recording: Recording,
    others: tuple[Recording, ...],
    *,
    config: ForgeConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], ForgedSpan]:
    method = config.audio_methods[int(rng.integers(len(config.audio_methods)))]
    forged = forge_audio(
        waveform,
        first_frame * SAMPLES_PER_FRAME,
        span,
        method,
        recording=recording,
        others=others,
        fade_samples=round(config.audio_fade_seconds * SAMPLE_RATE_HZ),
        rng=rng,
    )
    return forged, ForgedSpan(span[0] / SAMPLE_RATE_HZ, span[1] / SAMPLE_RATE_HZ, method)


def _forge_visual_span(
    frames: NDArray[np.uint8],
    first_frame: int,
    span: Span,
    recording: Recording,
    others: tuple[Recording, ...],
    *,
    config: ForgeConfig,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], ForgedSpan]:
    """A few methods are tried until one changes something to see: a still face looks the same a second later."""
    best, best_method, best_change = frames, config.visual_methods[0], -1.0
    for _ in range(_NUM_VISUAL_TRIES):
        method = config.visual_methods[int(rng.integers(len(config.visual_methods)))]
        forged = forge_frames(
            frames,
            first_frame,
            span,
            method,
            recording=recording,
            others=others,
            fade_frames=config.visual_fade_frames,
            rng=rng,
        )
        change = visible_change(frames[slice(*span)], forged[slice(*span)])
        if change > best_change:
            best, best_method, best_change = forged, method, change
        if change >= _MIN_VISIBLE_CHANGE:
            break
    return best, ForgedSpan(span[0] / FRAME_RATE_HZ, span[1] / FRAME_RATE_HZ, best_method)


def _spans(
    plan: ClipPlan, voiced: NDArray[np.bool_], config: ForgeConfig, rng: np.random.Generator
) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Audio spans in samples of the clip, visual spans in frames of it."""

    def place(units_per_frame: int, taken: tuple[Span, ...] = (), most: int = config.max_segments) -> tuple[Span, ...]:
        return place_spans(
            int(rng.integers(1, most + 1)),
            voiced,
            units_per_frame=units_per_frame,
            frame_rate_hz=FRAME_RATE_HZ,
            segment_seconds=config.segment_seconds,
            taken=taken,
            rng=rng,
        )

    if plan.kind == "audio":
        return place(SAMPLES_PER_FRAME), ()
    if plan.kind == "visual":
        return (), place(1)
    if plan.kind == "both_same_time":
        visual = place(1)
        return tuple((start * SAMPLES_PER_FRAME, stop * SAMPLES_PER_FRAME) for start, stop in visual), visual
    if plan.kind == "both_different_times":
        visual = place(1, most=1)
        taken = tuple((start * SAMPLES_PER_FRAME, stop * SAMPLES_PER_FRAME) for start, stop in visual)
        return place(SAMPLES_PER_FRAME, taken, most=1), visual
    return (), ()


def make_clip(plan: ClipPlan, config: ForgeConfig, recordings: Path, out: Path, notes: Path) -> None:
    """Write out/<file> and, last, notes/<number>.json with its metadata; nothing is done where that is there."""
    note = note_path(notes, plan)
    if note.is_file():
        return
    recording = _recording(recordings / plan.source)
    clip = forge_clip(plan, recording, tuple(_recording(recordings / key) for key in plan.others), config)
    encode_clip(out / plan.file, clip.frames, clip.waveform, config.encoding)
    partial = note.with_suffix(".partial")
    partial.write_text(json.dumps(_note(plan, recording, clip)))
    partial.replace(note)


def note_path(notes: Path, plan: ClipPlan) -> Path:
    """Where a made clip's metadata is kept until all are made."""
    return notes / f"{plan.seed[1]:06d}.json"


def _note(plan: ClipPlan, recording: Recording, clip: ForgedClip) -> dict[str, Any]:
    return {
        "file": plan.file,
        "split": plan.split,
        "kind": plan.kind,
        "num_frames": plan.num_frames,
        "audio": plain(clip.audio),
        "visual": plain(clip.visual),
        "identity": recording.person,
        "source": recording.name,
        "source_start_seconds": plan.first_frame / FRAME_RATE_HZ,
    }


@lru_cache(maxsize=256)
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
