"""Draws talking people, so that a dataset can be forged with no media at all.

A voice and a face are driven by the same syllables: the mouth opens as the vowels do, the head nods with the accents.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iamsb_core.forgery.config import FRAME_RATE_HZ, SAMPLES_PER_FRAME, SyntheticConfig
from iamsb_core.forgery.recording import Recording, is_saved, save_recording
from iamsb_core.forgery.sources import drawn_name
from iamsb_core.forgery.synthetic_face import draw_face, film, move
from iamsb_core.forgery.synthetic_voice import CONTROL_HZ, draw_voice, speak


def draw_recording(person: int, seconds: float, seed: int, take: int = 0) -> Recording:
    """A recording of drawn person number `person`; the same person, length, seed and take give the same recording.

    take: another recording of the same face and voice, saying something else.
    """
    rng = np.random.default_rng([seed, person, 0x5EED])
    num_frames = round(seconds * FRAME_RATE_HZ)
    voice = draw_voice(rng)
    speech = speak(voice, num_frames / FRAME_RATE_HZ, rng)
    face = draw_face(rng)
    if take:
        rng = np.random.default_rng([seed, person, take, 0x7A4E])
        speech = speak(voice, num_frames / FRAME_RATE_HZ, rng)
    per_frame = CONTROL_HZ // FRAME_RATE_HZ
    openness, width, accent = (
        track.reshape(num_frames, per_frame).mean(axis=1) for track in (speech.openness, speech.width, speech.accent)
    )
    frames, faces = film(face, move(face, openness, width, accent, rng), rng)
    assert len(speech.waveform) == num_frames * SAMPLES_PER_FRAME
    name = drawn_name(person)
    return Recording(f"{name}/take_{take}" if take else name, name, frames, speech.waveform, faces)


def save_drawn_recording(number: int, config: SyntheticConfig, seed: int, folder: Path) -> None:
    """Draw recording `number` (the takes of a person follow one another) into a folder, unless it is there already."""
    if not is_saved(folder):
        person, take = divmod(number, config.takes_per_person)
        save_recording(draw_recording(person, config.seconds_per_person, seed, take), folder)
