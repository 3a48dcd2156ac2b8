"""Draws talking people, so that a dataset can be forged with no media at all.

A voice and a face are driven by the same syllables: the mouth opens as the vowels do, the head nods with the accents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iamsb_core.forgery.config import FRAME_RATE_HZ, SAMPLES_PER_FRAME
from iamsb_core.forgery.recording import Recording, is_saved, save_recording
from iamsb_core.forgery.synthetic_face import draw_face, film, move
from iamsb_core.forgery.synthetic_voice import CONTROL_HZ, draw_voice, speak


def draw_recording(person: int, seconds: float, seed: int) -> Recording:
    """A recording of drawn person number `person`; the same person, length and seed give the same recording."""
    rng = np.random.default_rng([seed, person, 0x5EED])
    num_frames = round(seconds * FRAME_RATE_HZ)
    speech = speak(draw_voice(rng), num_frames / FRAME_RATE_HZ, rng)
    face = draw_face(rng)
    per_frame = CONTROL_HZ // FRAME_RATE_HZ
    openness, width, accent = (
        track.reshape(num_frames, per_frame).mean(axis=1) for track in (speech.openness, speech.width, speech.accent)
    )
    frames, faces = film(face, move(face, openness, width, accent, rng), rng)
    assert len(speech.waveform) == num_frames * SAMPLES_PER_FRAME
    name = f"drawn/person_{person:03d}"
    return Recording(name, name, frames, speech.waveform, faces)


def save_drawn_recording(person: int, seconds: float, seed: int, folder: Path) -> None:
    """Draw a recording into a folder; nothing is done where it is there already."""
    if not is_saved(folder):
        save_recording(draw_recording(person, seconds, seed), folder)
