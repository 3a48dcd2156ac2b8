"""A genuine recording on the grid that everything is forged on: 25 Hz face crops and 16 kHz sound, kept on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.config import SAMPLES_PER_FRAME

_ABOUT = "about.json"


@dataclass(frozen=True)
class Recording:
    """One genuine recording of one person."""

    name: str
    """where it came from: the source's path, or the drawn person's number"""
    person: str
    frames: NDArray[np.uint8]
    """(num_frames, 224, 224, 3) RGB, possibly memory-mapped"""
    waveform: NDArray[np.float32]
    """(num_frames * 640,)"""
    faces: NDArray[np.float32]
    """(num_frames, 4): left, top, right, bottom of the face in each frame, pixels"""

    def __post_init__(self) -> None:
        if not len(self.waveform) == len(self.frames) * SAMPLES_PER_FRAME or len(self.faces) != len(self.frames):
            raise ValueError(
                f"{self.name}: {len(self.frames)} frames need {len(self.frames) * SAMPLES_PER_FRAME} samples and as "
                f"many faces as frames, got {len(self.waveform)} and {len(self.faces)}"
            )

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @cached_property
    def loudness(self) -> NDArray[np.float64]:
        """(num_frames,) root mean square of the sound during each frame."""
        blocks = self.waveform.reshape(-1, SAMPLES_PER_FRAME).astype(np.float64)
        return np.asarray(np.sqrt((blocks**2).mean(axis=1)))

    @cached_property
    def voiced(self) -> NDArray[np.bool_]:
        """(num_frames,) whether there is speech to hear: a fifth of the loud parts' level (-14 dB) or more."""
        return np.asarray(self.loudness > max(1e-3, 0.2 * float(np.quantile(self.loudness, 0.9))))


def save_recording(recording: Recording, folder: Path) -> None:
    """Write it to a folder of its own; `about.json` comes last, so that a folder that has it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _ABOUT).unlink(missing_ok=True)
    np.save(folder / "frames.npy", recording.frames)
    np.save(folder / "waveform.npy", recording.waveform)
    np.save(folder / "faces.npy", recording.faces)
    about = {"name": recording.name, "person": recording.person, "num_frames": recording.num_frames}
    partial = folder / (_ABOUT + ".partial")
    partial.write_text(json.dumps(about))
    partial.replace(folder / _ABOUT)


def is_saved(folder: Path) -> bool:
    """Whether a whole recording lies there."""
    return (folder / _ABOUT).is_file()


def load_recording(folder: Path) -> Recording:
    """Read it back; the frames stay on disk until they are looked at."""
    about = json.loads((folder / _ABOUT).read_text())
    return Recording(
        about["name"],
        about["person"],
        np.load(folder / "frames.npy", mmap_mode="r"),
        np.load(folder / "waveform.npy"),
        np.load(folder / "faces.npy"),
    )
