"""Perturbations of the sound: 16 kHz mono in, the same number of samples out, none of them moved in time.

Everything works on pieces, so that an hour of sound needs no more memory than a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from iamsb_core.media.clip import SAMPLE_RATE_HZ
from iamsb_core.media.perturbations.codecs import aac_samples
from iamsb_core.media.perturbations.pitch import shift_pitch
from iamsb_core.media.perturbations.spec import KindName, PerturbationSpec
from iamsb_core.media.resampling import Resampler

Samples = NDArray[np.float32]

PIECE_SAMPLES = 1 << 16
"""part of what a draw means: noise is drawn piece by piece"""
_FIRST_ECHO_SECONDS = 0.005
_REVERBERATION_SECONDS = 0.5
"""until the echoes are 60 dB down: a living room, hard walls"""


def perturb_sound(waveform: Samples, spec: PerturbationSpec, media_sha256: str) -> Iterator[Samples]:
    """(num_samples,) in, pieces of num_samples in all out; they may reach beyond [-1, 1]."""
    yield from _CHANGES[spec.kind](waveform, spec, media_sha256)


def pieces(waveform: Samples) -> Iterator[Samples]:
    """The waveform cut at fixed places."""
    for first in range(0, len(waveform), PIECE_SAMPLES):
        yield np.asarray(waveform[first : first + PIECE_SAMPLES])


def fitted(sound: Iterable[Samples], num_samples: int) -> Iterator[Samples]:
    """The sound's first num_samples, silence where it ends before."""
    left = num_samples
    for piece in sound:
        yield piece[:left]
        left -= len(piece[:left])
    if left:
        yield np.zeros(left, dtype=np.float32)


def _noise(waveform: Samples, spec: PerturbationSpec, media_sha256: str) -> Iterator[Samples]:
    """White noise so far below the mean power of the whole clip; silence stays silent."""
    power = sum(float(np.square(piece, dtype=np.float64).sum()) for piece in pieces(waveform)) / len(waveform)
    level = np.float32((power * 10 ** (-spec.strength / 10)) ** 0.5)
    for index, piece in enumerate(pieces(waveform)):
        drawn = spec.generator(media_sha256, index).standard_normal(len(piece), dtype=np.float32)
        yield piece + level * drawn


def _pitch(waveform: Samples, spec: PerturbationSpec, media_sha256: str) -> Iterator[Samples]:
    """Up in one half of the clips, down in the other."""
    sign = 1 if spec.generator(media_sha256).random() < 0.5 else -1
    return fitted(shift_pitch(waveform, semitones=sign * spec.strength), len(waveform))


def _reverb(waveform: Samples, spec: PerturbationSpec, media_sha256: str) -> Iterator[Samples]:
    """The direct sound as it is, and after it the echoes of a drawn room."""
    echoes = room_echoes(spec.generator(media_sha256)) * 10 ** (-spec.strength / 20)
    response = np.concatenate([[1.0], echoes]).astype(np.float32)
    tail = np.zeros(len(response) - 1, dtype=np.float32)
    for piece in pieces(waveform):
        heard = oaconvolve(piece, response)
        heard[: len(tail)] += tail
        tail = heard[len(piece) :]
        yield heard[: len(piece)].astype(np.float32)


def room_echoes(rng: np.random.Generator) -> NDArray[np.float64]:
    """Energy 1: Gaussian noise that dies away at 60 dB in half a second, after 5 ms of nothing (Polack's model)."""
    seconds = np.arange(1, round(_REVERBERATION_SECONDS * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    echoes = rng.standard_normal(len(seconds)) * 10 ** (-3.0 * seconds / _REVERBERATION_SECONDS)
    echoes[seconds < _FIRST_ECHO_SECONDS] = 0.0
    return np.asarray(echoes / np.sqrt(np.square(echoes).sum()))


def _aac(waveform: Samples, spec: PerturbationSpec, _: str) -> Iterator[Samples]:
    return aac_samples(pieces(waveform), len(waveform), bit_rate=round(1000 * spec.strength))


def _resample(waveform: Samples, spec: PerturbationSpec, _: str) -> Iterator[Samples]:
    """Down and up by a filter without delay: what lies above half the lower rate is lost."""
    rate_hz = round(1000 * spec.strength)
    lowered = _resampled(pieces(waveform), SAMPLE_RATE_HZ, rate_hz)
    return fitted(_resampled(lowered, rate_hz, SAMPLE_RATE_HZ), len(waveform))


def _resampled(sound: Iterable[Samples], from_hz: int, to_hz: int) -> Iterator[Samples]:
    resampler = Resampler(from_hz, to_hz)
    for piece in sound:
        yield from resampler.push(piece)
    yield resampler.finish()


_CHANGES: dict[KindName, Callable[[Samples, PerturbationSpec, str], Iterator[Samples]]] = {
    "sound-noise": _noise,
    "pitch": _pitch,
    "reverb": _reverb,
    "aac": _aac,
    "resample": _resample,
}
