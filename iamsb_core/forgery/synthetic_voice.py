"""A drawn person's voice: formant synthesis (source and filter, after Klatt 1980) from a timeline of syllables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from iamsb_core.media.clip import SAMPLE_RATE_HZ

Track = NDArray[np.float64]

CONTROL_HZ = 200
_SAMPLES_PER_CONTROL = SAMPLE_RATE_HZ // CONTROL_HZ
_FORMANTS_HZ = np.array(
    [
        [730, 1090, 2440, 3400],
        [530, 1840, 2480, 3500],
        [270, 2290, 3010, 3700],
        [570, 840, 2410, 3300],
        [300, 870, 2240, 3200],
        [500, 1500, 2500, 3500],
    ],
    dtype=np.float64,
)
"""a, e, i, o, u and a neutral vowel of a male speaker (Peterson and Barney 1952)"""
_OPENNESS = np.array([1.0, 0.65, 0.35, 0.7, 0.3, 0.5])
_WIDTH = np.array([0.1, 0.5, 1.0, -0.6, -1.0, 0.0])
_BANDWIDTHS_HZ = np.array([70.0, 100.0, 150.0, 220.0])
_NOISE_BANDS_HZ = ((3500, 7500), (2000, 5500), (1200, 7000))
"""s, sh, f"""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What makes one person's voice theirs."""

    pitch_hz: float
    pitch_spread: float
    tract_scale: float
    bandwidth_scale: float
    open_quotient: float
    jitter: float
    breathiness: float
    syllables_per_second: float
    pause_seconds: float
    room_seconds: float
    room_share: float
    noise_level: float
    tilt: float
    level: float


def draw_voice(rng: np.random.Generator) -> Voice:
    """A person's voice and the room they speak in."""
    high = rng.random() < 0.5
    return Voice(
        pitch_hz=rng.uniform(165, 260) if high else rng.uniform(85, 150),
        pitch_spread=rng.uniform(0.05, 0.16),
        tract_scale=rng.uniform(1.08, 1.25) if high else rng.uniform(0.92, 1.08),
        bandwidth_scale=rng.uniform(0.8, 1.6),
        open_quotient=rng.uniform(0.45, 0.75),
        jitter=rng.uniform(0.003, 0.015),
        breathiness=rng.uniform(0.01, 0.08),
        syllables_per_second=rng.uniform(3.4, 5.6),
        pause_seconds=rng.uniform(0.2, 0.5),
        room_seconds=rng.uniform(0.05, 0.3),
        room_share=rng.uniform(0.02, 0.2),
        noise_level=10 ** rng.uniform(-3.3, -2.4),
        tilt=rng.uniform(0.0, 0.3),
        level=rng.uniform(0.05, 0.11),
    )


@dataclass(frozen=True)
class Speech:
    """Sound, and how the mouth moved to make it. Tracks run at 200 Hz."""

    waveform: NDArray[np.float32]
    """(n,) at 16 kHz"""
    openness: Track
    """0 closed to 1 wide open"""
    width: Track
    """-1 rounded to 1 spread"""
    accent: Track
    """0 to about 1: where the voice rises and falls, which a speaker's head follows"""


@dataclass(frozen=True)
class _Timeline:
    """What the mouth and the voice do, at 200 Hz: composed with hard edges, then smoothed."""

    voicing: Track
    noise: NDArray[np.float64]
    """(3, n) level of each noise band"""
    vowels: NDArray[np.float64]
    """(6, n) weights"""
    openness: Track
    accent: Track

    @classmethod
    def empty(cls, length: int) -> _Timeline:
        return cls(np.zeros(length), np.zeros((3, length)), np.zeros((6, length)), np.zeros(length), np.zeros(length))


def speak(voice: Voice, seconds: float, rng: np.random.Generator) -> Speech:
    """That many seconds of syllables, phrases and pauses."""
    line = _smoothed(_compose(voice, round(seconds * CONTROL_HZ), rng))
    dry = _voiced(voice, line, rng) + _noises(line, rng)
    room = _room(voice, dry, rng)
    loud = float(np.sqrt((room[np.abs(room) > 0.05 * np.abs(room).max()] ** 2).mean()))
    waveform = room * (voice.level / loud) + _background(voice, len(room), rng)
    width = gaussian_filter1d(_WIDTH @ line.vowels, 6.0)
    return Speech(np.clip(waveform, -0.99, 0.99).astype(np.float32), line.openness, width, line.accent)


def _compose(voice: Voice, length: int, rng: np.random.Generator) -> _Timeline:
    line = _Timeline.empty(length)
    line.vowels[5] = 1e-3
    now = int(rng.uniform(0.05, 0.4) * CONTROL_HZ)
    left_in_phrase = int(rng.integers(4, 11))
    while now < length:
        now = _add_syllable(voice, line, now, rng)
        left_in_phrase -= 1
        if left_in_phrase == 0:
            now += int(voice.pause_seconds * rng.uniform(0.5, 1.8) * CONTROL_HZ)
            left_in_phrase = int(rng.integers(4, 11))
    return line


def _add_syllable(voice: Voice, line: _Timeline, start: int, rng: np.random.Generator) -> int:
    """A consonant and a vowel from `start` on; where they end."""
    length = rng.uniform(0.7, 1.35) / voice.syllables_per_second * CONTROL_HZ
    stop = start + int(length)
    vowel_start = start + int(length * rng.uniform(0.2, 0.4))
    vowel, loudness = int(rng.integers(6)), rng.uniform(0.6, 1.0)
    _add_consonant(line, slice(start, vowel_start), rng)
    line.voicing[vowel_start:stop] = loudness
    line.vowels[:, start:stop] = 0.0
    line.vowels[vowel, start:stop] = 1.0
    line.openness[vowel_start:stop] = _OPENNESS[vowel] * loudness * rng.uniform(0.8, 1.2)
    line.accent[start:stop] = rng.uniform(0.0, 1.0) ** 2
    return stop


def _add_consonant(line: _Timeline, where: slice, rng: np.random.Generator) -> None:
    """A stop (closure and burst), a fricative, a nasal or approximant, or a voiced fricative."""
    kind, band = int(rng.integers(4)), int(rng.integers(3))
    if kind == 0:
        line.noise[band, max(where.start, where.stop - 4) : where.stop] = rng.uniform(0.3, 0.7)
    if kind in (1, 3):
        line.noise[band, where] = rng.uniform(0.15, 0.5)
    if kind in (2, 3):
        line.voicing[where] = rng.uniform(0.2, 0.45)


def _smoothed(line: _Timeline) -> _Timeline:
    """As the articulators move: none jumps. The vowels' weights sum to 1."""
    weights = gaussian_filter1d(line.vowels, 6.0, axis=1) + 1e-6
    return _Timeline(
        voicing=gaussian_filter1d(line.voicing, 2.5),
        noise=gaussian_filter1d(line.noise, 1.2, axis=1),
        vowels=weights / weights.sum(axis=0),
        openness=gaussian_filter1d(line.openness, 6.0),
        accent=gaussian_filter1d(line.accent, 12.0),
    )


def _pitch_hz(voice: Voice, accent: Track, rng: np.random.Generator) -> Track:
    drift = gaussian_filter1d(rng.standard_normal(len(accent)), 60.0) * 15.0
    return np.asarray(voice.pitch_hz * np.exp(voice.pitch_spread * (3.0 * (accent - 0.3) + 0.5 * drift)))


def _at_sample_rate(track: Track) -> Track:
    length = len(track) * _SAMPLES_PER_CONTROL
    return np.interp(np.arange(length), (np.arange(len(track)) + 0.5) * _SAMPLES_PER_CONTROL, track)


def _voiced(voice: Voice, line: _Timeline, rng: np.random.Generator) -> Track:
    pitch = _at_sample_rate(_pitch_hz(voice, line.accent, rng))
    wobble = gaussian_filter1d(rng.standard_normal(len(pitch)), 40.0) * 12.0
    phase = np.cumsum(pitch * (1 + voice.jitter * wobble)) / SAMPLE_RATE_HZ
    excitation = _glottal_flow_change(phase % 1.0, voice.open_quotient)
    excitation += voice.breathiness * rng.standard_normal(len(pitch))
    excitation *= _at_sample_rate(line.voicing)
    out = np.zeros(len(pitch))
    for weights, formants in zip(line.vowels, _FORMANTS_HZ, strict=True):
        out += _at_sample_rate(weights) * _resonate(excitation, formants * voice.tract_scale, voice.bandwidth_scale)
    return lfilter([1.0], [1.0, -voice.tilt], out)  # type: ignore[no-any-return]


def _glottal_flow_change(phase: Track, open_quotient: float) -> Track:
    """Derivative of Rosenberg's glottal pulse (1971, type C) over one period, without its mean."""
    rise, fall = 0.67 * open_quotient, 0.33 * open_quotient
    opening = np.sin(np.pi * phase / rise) * (0.5 / rise)
    closing = -np.sin(0.5 * np.pi * (phase - rise) / fall) * (0.5 / fall)
    flow = np.where(phase < rise, opening, np.where(phase < rise + fall, closing, 0.0))
    return np.asarray(flow - flow.mean())


def _resonate(excitation: Track, formants_hz: Track, bandwidth_scale: float) -> Track:
    """Two-pole resonators in cascade, each with unit gain at 0 Hz (Klatt 1980, equation 2)."""
    sections = []
    for frequency, bandwidth in zip(formants_hz, _BANDWIDTHS_HZ * bandwidth_scale, strict=True):
        radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE_HZ)
        b = 2 * radius * np.cos(2 * np.pi * min(frequency, 7200.0) / SAMPLE_RATE_HZ)
        c = -(radius**2)
        sections.append([1 - b - c, 0.0, 0.0, 1.0, -b, -c])
    return sosfilt(np.array(sections), excitation)  # type: ignore[no-any-return]


def _noises(line: _Timeline, rng: np.random.Generator) -> Track:
    length = line.noise.shape[1] * _SAMPLES_PER_CONTROL
    white = rng.standard_normal(length)
    out = np.zeros(length)
    for level, band in zip(line.noise, _NOISE_BANDS_HZ, strict=True):
        shape = butter(2, band, btype="bandpass", fs=SAMPLE_RATE_HZ, output="sos")
        out += 0.6 * _at_sample_rate(level) * sosfilt(shape, white)
    return out


def _room(voice: Voice, dry: Track, rng: np.random.Generator) -> Track:
    """The direct sound and a decaying tail of reflections."""
    times = np.arange(int(voice.room_seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(times)) * np.exp(-6.9 * times / voice.room_seconds)
    tail *= voice.room_share / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return fftconvolve(dry, tail)[: len(dry)]  # type: ignore[no-any-return]


def _background(voice: Voice, length: int, rng: np.random.Generator) -> Track:
    """Noise of the room and the microphone, with a little hum."""
    hiss = lfilter([1.0], [1.0, -0.85], rng.standard_normal(length))
    hum = np.sin(2 * np.pi * 50.0 * np.arange(length) / SAMPLE_RATE_HZ + rng.uniform(0, 6.28))
    return voice.noise_level * (hiss + 0.3 * hum)  # type: ignore[no-any-return]
