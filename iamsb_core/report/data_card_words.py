"""What a data card says in words: what each method does, how the dataset was made, and what it cannot show."""

from __future__ import annotations

from dataclasses import dataclass

from iamsb_core.forgery.config import ForgeConfig

NOT_STATED = "not stated; whoever publishes the dataset must say under which licence its sources may be used"
DRAWN = "none is needed, every person was drawn by this program"

METHODS = {
    ("audio", "splice_same"): "Speech of the same recording from another moment, as loud as what it replaces.",
    ("audio", "splice_other"): "Speech of another person of the same split, as loud as what it replaces.",
    ("audio", "pitch_shift"): "The same words 2 to 5 semitones higher or lower.",
    ("audio", "formant_shift"): "The same words at the same pitch, the spectral envelope 15 to 35 % higher or lower.",
    (
        "audio",
        "vocoder",
    ): "The same words through a mel spectrum and back, the phase found by Griffin and Lim's method.",
    ("audio", "time_stretch"): "The speech of the same moment, 1.2 to 1.5 times slower or faster, at the same pitch.",
    ("visual", "time_shift"): "The frames of 0.24 to 1 s earlier or later: whole, or only the face of them.",
    ("visual", "reorder"): "The same frames backwards, or in short blocks in another order; whole, or only the face.",
    ("visual", "resample"): "Mouth, lower face or face made small and large again, as low resolution leaves it.",
    ("visual", "blend_own"): "Mouth or lower face of another moment of the same recording, blended in.",
    ("visual", "blend_other"): "Mouth, lower face or face of another person of the same split, blended in.",
    ("visual", "inpaint"): "The mouth painted over from around it.",
}
"""what is put in place of a segment, in numbers of difficulty `medium`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footage:
    """How much there is, and of how much genuine footage it was cut."""

    clips_seconds: float
    genuine_seconds: float
    """each moment counted once"""
    num_repeating: int
    """clips that show some footage more than once"""


def how_it_was_made(config: ForgeConfig, *, drawn: bool) -> list[str]:
    """Sentences on every stage, with the numbers of this configuration."""
    sentences = [_DRAWING if drawn else _DECODING]
    if config.join_takes:
        sentences.append(_JOINING)
    law = "follow DDL-AV's histograms" if config.placement == "asynchronous" else "are log-uniform"
    shortest, longest = config.forged_seconds
    encoding, level = config.clip_encoding, config.level
    fade_ms = 1000 * config.audio_fade_seconds * level.fade_scale
    strength = f"edits at {level.strength:g} times their strength, sound faded over {fade_ms:g} ms at a segment's ends"
    pictures = f"H.264 at CRF {encoding.crf} with a key frame every {encoding.gop_frames} frames and no B-frames"
    return [
        *sentences,
        _SPLITTING,
        f"{_PLACING} Lengths {law}, {shortest:g} to {longest:g} s.",
        _EDITING,
        f"Difficulty {config.difficulty}: {strength}.",
        f"{_CODING} {pictures}, AAC at {encoding.audio_bit_rate / 1000:.0f} kbit/s, in MP4.",
        _TWINS,
    ]


def limits(config: ForgeConfig, footage: Footage, *, drawn: bool) -> list[str]:
    """What must be known before a number on this dataset is believed."""
    clips, genuine = footage.clips_seconds, footage.genuine_seconds
    sentences = [
        _NO_GENERATORS,
        f"{clips:,.0f} s of clips were cut from {genuine:,.0f} s of genuine footage, which clips share.",
        _SPREADING,
        _DRAWN_PEOPLE if drawn else _IDENTITIES,
    ]
    if config.join_takes:
        sentences.append(f"{_JOINTS} {footage.num_repeating} clips show some footage more than once.")
    return sentences


_DRAWING = "Talking people were drawn: voice and face follow the same syllables."
_DECODING = "Genuine recordings were decoded to 25 pictures a second, cropped to the face, and 16 kHz mono sound."
_JOINING = (
    "Where a recording is shorter than a clip, takes of the same person are joined, in genuine clips as in forged."
)
_SPLITTING = "People were dealt to the splits by chance, each to one; donors of sound and faces stay in their split."
_PLACING = "Segments lie where somebody speaks, 0.12 s or more from a clip's ends and 0.3 s from one another."
_EDITING = (
    "Inside a segment its stream was replaced by what the method makes; outside, before coding, every sample and every "
    "pixel is the genuine one."
)
_CODING = "Genuine and forged clips were encoded alike:"
_TWINS = "The folder .examples holds the genuine twin of every clip shown here, so that the truth can be checked."
_NO_GENERATORS = (
    "No generative model made these forgeries: they are edits, splices and blends. A detector that does well here is "
    "not shown to find lip synthesis, face reenactment or cloned voices."
)
_SPREADING = (
    "Coding spreads what was changed: of sound up to 128 ms beyond a segment (AAC's window), of pictures, faintly, up "
    "to the next key frame."
)
_DRAWN_PEOPLE = "Drawn people look and sound like no recording; they test software, not detectors."
_IDENTITIES = "Who is who is as the list of people says, or each file was taken for a person of its own."
_JOINTS = "Joints between takes are cuts that are no forgery; whoever looks for cuts will find them."
