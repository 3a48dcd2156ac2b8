"""What is unusual about a file, in sentences: a reader must know what limits the verdict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip

_SILENT_AMPLITUDE = 10 ** (-60 / 20)
_BLOCK_SECONDS = 0.02
_MOSTLY = 0.5
_STILL_LEVELS = 2
_STILL_PROBES = 48


def media_warnings(clip: DecodedClip) -> tuple[str, ...]:
    """What decoding found (`clip.warnings`: missing streams, silence, no face), then what else limits the scores.

    Each once, as a sentence.
    """
    return tuple(dict.fromkeys(sentence(said) for said in [*clip.warnings, *_sound(clip), *_picture(clip)]))


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _sound(clip: DecodedClip) -> list[str]:
    if clip.waveform is None:
        return ["The sound was not examined: nothing is said about it."] if clip.probe.num_audio_streams else []
    silent = silent_share(clip.waveform)
    return [f"{silent:.0%} of the sound is silence (below -60 dBFS)."] if _MOSTLY < silent < 1.0 else []


def silent_share(waveform: NDArray[np.float32]) -> float:
    """Share of 20 ms blocks whose peak stays below -60 dBFS; 1.0 for a waveform without samples."""
    length = round(_BLOCK_SECONDS * SAMPLE_RATE_HZ)
    if not len(waveform):
        return 1.0
    peaks = np.maximum.reduceat(np.abs(waveform), np.arange(0, len(waveform), length))
    return float(np.mean(peaks < _SILENT_AMPLITUDE))


def _picture(clip: DecodedClip) -> list[str]:
    if clip.frames is None:
        return ["The picture was not examined: nothing is said about it."] if clip.probe.num_video_streams else []
    said = []
    if clip.probe.variable_frame_rate:
        said.append(f"The frame rate varies ({clip.probe.average_fps:.2f} per second on average).")
    if is_still(clip.frames):
        said.append("The picture never changes: its scores mean little.")
    return said


def is_still(frames: NDArray[np.uint8]) -> bool:
    """Whether up to 48 frames spread over the clip differ from the first by no more than 2 of 255 levels."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _STILL_PROBES)).round().astype(int))
    first = frames[0].astype(np.int16)
    moved = (np.abs(frames[index].astype(np.int16) - first).max() > _STILL_LEVELS for index in chosen[1:])
    return len(chosen) > 1 and not any(moved)
