"""Levels of difficulty: how long, how strong and how well hidden the forgeries are, and how hard the coding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DifficultyName = Literal["easy", "medium", "hard"]
SHORTEST_SECONDS = 0.12
"""three frames: no forged segment is shorter, at any level"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """What a level makes of a configuration's own numbers; `medium` leaves every one of them as it is."""

    length_scale: float
    """times the lengths of forged segments (never under SHORTEST_SECONDS)"""
    strength: float
    """how far an edit goes from what it replaces, 1 being the edits' own ranges: semitones, formant ratio and stretch
    (in the exponent), the vocoder's coarseness, the low resolution's factor, the reach of a time shift; under 1 only
    the mouth is replaced, over 1 the largest region the method knows. A splice or a reordering has no degrees."""
    fade_scale: float
    """times the cross-fade of forged sound, and (rounded up) the mixed frames at either end of forged pictures"""
    added_crf: int
    """to the H.264 quantiser, for genuine and forged clips alike: compression hides the traces of editing"""
    audio_bit_rate_scale: float
    """times the AAC bit rate, likewise"""


DIFFICULTIES: dict[DifficultyName, Difficulty] = {
    "easy": Difficulty(length_scale=2.0, strength=1.5, fade_scale=0.0, added_crf=-5, audio_bit_rate_scale=1.0),
    "medium": Difficulty(length_scale=1.0, strength=1.0, fade_scale=1.0, added_crf=0, audio_bit_rate_scale=1.0),
    "hard": Difficulty(length_scale=0.5, strength=0.5, fade_scale=2.0, added_crf=7, audio_bit_rate_scale=1 / 3),
}
"""easy: long segments, strong edits, hard cuts, high quality; hard: short, faint, blended, strongly compressed"""
