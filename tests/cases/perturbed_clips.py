"""Clips as decoding leaves them, drawn or made up, and what a perturbation makes of them."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, MediaProbe
from iamsb_core.media.perturbations.apply import perturbed
from iamsb_core.media.perturbations.spec import KindName, Level, PerturbationSpec
from iamsb_core.timeline import TimeGrid


def clip_of(
    waveform: NDArray[np.float32] | None, frames: NDArray[np.uint8] | None = None, sha256: str = "ab" * 32
) -> DecodedClip:
    num_samples = 0 if waveform is None else len(waveform)
    duration = num_samples / SAMPLE_RATE_HZ if frames is None else len(frames) / 25
    probe = MediaProbe(
        sha256=sha256,
        size_bytes=1,
        duration_seconds=duration,
        container="mp4",
        num_video_streams=1,
        num_audio_streams=1,
        video_codec="h264",
        width=96,
        height=96,
        rotation_degrees=0,
        num_video_frames=0 if frames is None else len(frames),
        average_fps=25.0,
        variable_frame_rate=False,
        video_start_seconds=0.0,
        audio_codec="aac",
        sample_rate_hz=SAMPLE_RATE_HZ,
        num_channels=1,
        audio_start_seconds=0.0,
    )
    return DecodedClip(
        probe=probe,
        duration_seconds=duration,
        waveform=waveform,
        frames=frames,
        frame_boxes=None,
        face_found=None,
        frame_grid=None if frames is None else TimeGrid(0.04, len(frames)),
        reader="pyav",
    )


@functools.cache
def talking() -> DecodedClip:
    """1.6 s of a drawn person, 112 pixels."""
    recording = draw_recording(1, 1.6, 0)
    frames = np.stack([cv2.resize(frame, (112, 112), interpolation=cv2.INTER_AREA) for frame in recording.frames])
    return clip_of(recording.waveform.astype(np.float32), frames)


def changed(clip: DecodedClip, kind: KindName, level: Level = 3, seed: int = 0) -> DecodedClip:
    return perturbed(clip, [PerturbationSpec(kind=kind, level=level, seed=seed)])


def sound(waveform: NDArray[np.floating], kind: KindName, level: Level = 3) -> NDArray[np.float32]:
    found = changed(clip_of(waveform.astype(np.float32)), kind, level).waveform
    assert found is not None
    return found


def picture(frame: NDArray[np.uint8], kind: KindName, level: Level = 3) -> NDArray[np.uint8]:
    found = changed(clip_of(None, frame[None]), kind, level).frames
    assert found is not None
    return found[0]


def decibels(signal: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Signal to noise, the noise being the difference."""
    return 10 * np.log10(np.square(signal).sum() / np.square(signal - other).sum())
