"""Audio forgeries: what is put in place of a span of samples, and how it is put there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.config import SAMPLES_PER_FRAME, AudioMethod
from iamsb_core.forgery.placement import Span
from iamsb_core.forgery.recording import Recording
from iamsb_core.forgery.spectral import Signal, shift_formants, shift_pitch, stretch, vocode

_CONTEXT = 2048
"""samples of genuine sound around a span that a transformation sees, so that its edges fit"""
_NUM_PLACES = 12
_MAX_GAIN = 4.0
_PEAK = 0.98


def forge_audio(
    waveform: NDArray[np.float32],
    offset: int,
    span: Span,
    method: AudioMethod,
    *,
    recording: Recording,
    others: tuple[Recording, ...],
    fade_samples: int,
    strength: float = 1.0,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """The clip's waveform (n,) with the span [start, stop) of it forged; every sample outside is left as it was.

    offset: where the clip starts in the recording, in samples. others: recordings of other people, longer than the
    span; without any, a splice comes from the same one. strength: see `difficulty.Difficulty`.
    """
    start, stop = span
    where = (offset + start, offset + stop)
    genuine = waveform[start:stop].astype(np.float64)
    replacement = _match_level(_REPLACEMENTS[method](recording, others, where, strength, rng), genuine, recording)
    fade = _fade(len(genuine), fade_samples)
    forged = waveform.copy()
    forged[start:stop] = (fade * replacement + (1 - fade) * genuine).astype(np.float32)
    return forged


def _match_level(replacement: Signal, genuine: Signal, recording: Recording) -> Signal:
    """As loud as what it replaces; in a pause, half as loud as the recording's speech."""
    speech = float(np.sqrt((recording.loudness[recording.voiced] ** 2).mean())) if recording.voiced.any() else 0.0
    wanted = max(_rms(genuine), 0.5 * speech)
    gain = min(wanted / max(_rms(replacement), 1e-6), _MAX_GAIN)
    peak = float(np.abs(replacement).max()) * gain
    return replacement * (gain if peak <= _PEAK else gain * _PEAK / peak)


def _rms(signal: Signal) -> float:
    return float(np.sqrt((signal**2).mean()))


def _fade(num_samples: int, fade_samples: int) -> Signal:
    """(num_samples,) weight of the forgery: raised cosines at both ends."""
    ramp_length = min(fade_samples, num_samples // 4)
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp_length) + 0.5) / max(ramp_length, 1))
    return np.concatenate([ramp, np.ones(num_samples - 2 * ramp_length), ramp[::-1]])


def _splice_same(
    recording: Recording, _: tuple[Recording, ...], where: Span, _strength: float, rng: np.random.Generator
) -> Signal:
    return _elsewhere(recording, where[1] - where[0], where, rng)


def _splice_other(
    recording: Recording, others: tuple[Recording, ...], where: Span, _strength: float, rng: np.random.Generator
) -> Signal:
    usable = [other for other in others if len(other.waveform) > where[1] - where[0]]
    if not usable:
        return _elsewhere(recording, where[1] - where[0], where, rng)
    return _elsewhere(usable[int(rng.integers(len(usable)))], where[1] - where[0], None, rng)


def _elsewhere(recording: Recording, length: int, avoid: Span | None, rng: np.random.Generator) -> Signal:
    """The most voiced of a few places in the recording, far from `avoid` where there is room."""
    starts = rng.integers(0, len(recording.waveform) - length + 1, _NUM_PLACES)
    if avoid is not None:
        overlap = np.maximum(0, np.minimum(starts + length, avoid[1]) - np.maximum(starts, avoid[0]))
        starts = starts[overlap == overlap.min()]
    shares = [_voiced_share(recording, int(start), int(start) + length) for start in starts]
    start = int(starts[int(np.argmax(shares))])
    return recording.waveform[start : start + length].astype(np.float64)


def _voiced_share(recording: Recording, start: int, stop: int) -> float:
    return float(recording.voiced[start // SAMPLES_PER_FRAME : -(-stop // SAMPLES_PER_FRAME)].mean())


def _in_context(recording: Recording, where: Span, transform: Callable[[Signal], Signal]) -> Signal:
    """The span transformed together with what surrounds it."""
    first, last = max(0, where[0] - _CONTEXT), min(len(recording.waveform), where[1] + _CONTEXT)
    around = transform(recording.waveform[first:last].astype(np.float64))
    return around[where[0] - first : where[1] - first]


def _pitch_shift(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Signal:
    semitones = strength * _either_sign(rng) * rng.uniform(2.0, 5.0)
    return _in_context(recording, where, lambda signal: shift_pitch(signal, 2 ** (semitones / 12)))


def _formant_shift(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Signal:
    ratio = rng.uniform(1.15, 1.35) ** (strength * _either_sign(rng))
    return _in_context(recording, where, lambda signal: shift_formants(signal, ratio))


def _vocoder(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Signal:
    num_mels, num_iterations = round(int(rng.choice([40, 64, 80])) / strength), round(16 / strength)

    def vocoded(signal: Signal) -> Signal:
        return vocode(signal, num_mels=num_mels, num_iterations=num_iterations, rng=rng)

    return _in_context(recording, where, vocoded)


def _time_stretch(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Signal:
    """Slower or faster speech of the same moment: the content around the span's middle, made as long as the span."""
    length = where[1] - where[0]
    factor = rng.uniform(1.2, 1.5) ** (strength * _either_sign(rng))
    num_content = min(max(round(length / factor), 1024), len(recording.waveform))
    first = int(np.clip(sum(where) // 2 - num_content // 2, 0, len(recording.waveform) - num_content))
    return stretch(recording.waveform[first : first + num_content].astype(np.float64), length)


def _either_sign(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


_REPLACEMENTS: dict[
    AudioMethod, Callable[[Recording, tuple[Recording, ...], Span, float, np.random.Generator], Signal]
] = {
    "splice_same": _splice_same,
    "splice_other": _splice_other,
    "pitch_shift": _pitch_shift,
    "formant_shift": _formant_shift,
    "vocoder": _vocoder,
    "time_stretch": _time_stretch,
}
