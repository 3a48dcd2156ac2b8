"""What is unusual about a file, in sentences: a reader must know what limits the verdict."""

from __future__ import annotations

import numpy as np

from iamsb_core.media.clip import DecodedClip, MediaProbe
from iamsb_core.report.headline import clock, joined, visible
from iamsb_core.report.picture_checks import cuts, is_still
from iamsb_core.report.sound_checks import bandwidth_hz, clipped_share, silent_share

_MOSTLY = 0.5
_NEARLY_ALL = 0.99
_NARROW_BAND_HZ = 5000.0
_CLIPPED_SHARE = 1e-3
_FEW_BITS_PER_PIXEL = 0.015
_FEW_SOUND_BITS = 24_000.0
_UNSEEN_SHARE = 0.05
_SMALLEST_PIXELS = 48
_MOST_NAMED = 5
_CLOSE_SECONDS = 0.2
"""pictures further apart, samples of a long clip, differ without a cut"""

_WRITERS = {
    "Lavf": "FFmpeg, or a program built on it",
    "Lavc": "FFmpeg, or a program built on it",
    "HandBrake": "HandBrake",
    "Google": "YouTube",
    "Mainconcept": "an editing program (MainConcept)",
    "Adobe": "an Adobe program",
    "Premiere": "an Adobe program",
    "DaVinci": "DaVinci Resolve",
    "CapCut": "CapCut",
    "GPAC": "GPAC",
    "Twitter": "Twitter",
}
"""marks that programs leave in a file, and who leaves them; cameras and telephones leave none of these"""


def media_warnings(clip: DecodedClip) -> tuple[str, ...]:
    """What decoding found (`clip.warnings`: missing streams, silence, no face), then what else limits the scores.

    Each once, as a sentence.
    """
    said = [*clip.warnings, *_container(clip.probe), *_sound(clip), *_picture(clip)]
    return tuple(dict.fromkeys(map(sentence, said)))


def unfit_streams(clip: DecodedClip) -> tuple[str, ...]:
    """One sentence for each examined stream that can neither accuse nor clear the file."""
    said = []
    if clip.waveform is not None and silent_share(clip.waveform) >= _NEARLY_ALL:
        said.append("The sound is silent, so it proves nothing.")
    if clip.frames is not None:
        if min(clip.probe.width, clip.probe.height) < _SMALLEST_PIXELS:
            said.append("The picture is too small to prove anything.")
        elif is_still(clip.frames):
            said.append("The picture never changes, so it proves nothing.")
    return tuple(said)


def sentence(text: str) -> str:
    """The text with a capital first letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _container(probe: MediaProbe) -> list[str]:
    programs = list(dict.fromkeys(who for mark, who in _WRITERS.items() if mark.lower() in probe.written_by.lower()))
    if not programs:
        return []
    named = f"its tags say: {visible(probe.written_by)}"
    if len(programs) > 1:
        return [f"The file went through more than one program: {joined(programs)} left their marks ({named})."]
    return [f"The file is not as a camera wrote it: {programs[0]} wrote or copied it ({named})."]


def _sound(clip: DecodedClip) -> list[str]:
    if clip.waveform is None:
        return ["The sound was not examined: nothing is said about it."] if clip.probe.num_audio_streams else []
    silent, clipped, band = silent_share(clip.waveform), clipped_share(clip.waveform), bandwidth_hz(clip.waveform)
    said = []
    if _MOSTLY < silent < 1.0:
        said.append(f"{silent:.0%} of the sound is silence (below -60 dBFS).")
    if clipped > _CLIPPED_SHARE:
        said.append(f"The sound is clipped: {clipped:.1%} of its samples stand at the end of the scale.")
    if band is not None and band < _NARROW_BAND_HZ:
        said.append(f"The sound holds nothing above {band / 1000:.1f} kHz, as over a telephone or after sampling up.")
    rate = clip.probe.audio_bits_per_second
    if rate is not None and rate < _FEW_SOUND_BITS and silent < _MOSTLY:
        said.append(f"The sound has only {rate / 1000:.0f} kbit per second: coding may hide or imitate traces.")
    return said


def _picture(clip: DecodedClip) -> list[str]:
    if clip.frames is None:
        return ["The picture was not examined: nothing is said about it."] if clip.probe.num_video_streams else []
    probe, said = clip.probe, []
    if probe.variable_frame_rate:
        said.append(f"The frame rate varies ({probe.average_fps:.2f} per second on average).")
    if is_still(clip.frames):
        said.append("The picture never changes: its scores mean little.")
    if 0 < min(probe.width, probe.height) < _SMALLEST_PIXELS:
        said.append(f"The picture is only {probe.width} x {probe.height} pixels large: its scores mean little.")
    pixels = probe.width * probe.height * probe.average_fps
    if probe.video_bits_per_second and pixels > 0 and probe.video_bits_per_second / pixels < _FEW_BITS_PER_PIXEL:
        rate = f"{probe.video_bits_per_second / 1000:.0f} kbit per second"
        said.append(f"The picture has only {rate} for its size: coding may hide or imitate traces.")
    return said + _cuts(clip) + _faces(clip)


def _cuts(clip: DecodedClip) -> list[str]:
    if clip.frames is None or clip.frame_grid is None or clip.frame_grid.hop_seconds > _CLOSE_SECONDS:
        return []
    found = cuts(clip.frames, clip.frame_boxes) * clip.frame_grid.hop_seconds
    if not len(found):
        return []
    if len(found) > _MOST_NAMED:
        return [f"The picture is cut in {len(found)} places, the first at {clock(found[0])}."]
    return [f"The picture is cut at {joined([clock(seconds) for seconds in found.tolist()])}."]


def _faces(clip: DecodedClip) -> list[str]:
    """Where faces are missing for a while; decoding itself says so where they are missing for most of the time."""
    if clip.face_found is None or not len(clip.face_found):
        return []
    unseen = 1.0 - float(np.mean(clip.face_found))
    return [f"No face was found for {unseen:.0%} of the time."] if _UNSEEN_SHARE <= unseen <= _MOSTLY else []
