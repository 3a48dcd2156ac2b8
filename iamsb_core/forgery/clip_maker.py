"""Makes one clip: cuts it from its recordings, forges it where planned, and says what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.audio_edits import forge_audio
from iamsb_core.forgery.config import (
    DONOR_METHODS,
    FRAME_RATE_HZ,
    SAMPLES_PER_FRAME,
    AudioMethod,
    ForgeConfig,
    VisualMethod,
)
from iamsb_core.forgery.placement import Span
from iamsb_core.forgery.plan import ClipPlan
from iamsb_core.forgery.recording import Recording
from iamsb_core.forgery.spans import forged_spans
from iamsb_core.forgery.takes import Genuine, Pictures, Take
from iamsb_core.forgery.visual_edits import forge_frames, visible_change
from iamsb_core.media.clip import SAMPLE_RATE_HZ

M = TypeVar("M", AudioMethod, VisualMethod)
_NUM_VISUAL_TRIES = 4
_MIN_VISIBLE_CHANGE = 8.0
"""grey levels, see `visible_change`: above what coding at CRF 23 leaves"""


@dataclass(frozen=True, slots=True)
class ForgedSpan:
    """One true segment of one stream, in seconds."""

    start: float
    end: float
    method: str


@dataclass(frozen=True)
class ForgedClip:
    """A clip before encoding, with its truth."""

    pictures: Pictures
    waveform: NDArray[np.float32]
    audio: tuple[ForgedSpan, ...]
    visual: tuple[ForgedSpan, ...]


def genuine_clip(plan: ClipPlan, recordings: Mapping[str, Recording]) -> Genuine:
    """The clip's takes, untouched."""
    return Genuine(tuple(Take(recordings[piece.source], piece.first_frame, piece.num_frames) for piece in plan.pieces))


def forge_clip(plan: ClipPlan, recordings: Mapping[str, Recording], config: ForgeConfig) -> ForgedClip:
    """Cut and forge one clip; a pure function of its arguments. recordings: those of its pieces and others, by key."""
    rng = np.random.default_rng(plan.seed)
    genuine = genuine_clip(plan, recordings)
    maker = _Maker(genuine, tuple(recordings[key] for key in plan.others), plan, config, rng)
    audio_spans, visual_spans = forged_spans(plan.kind, genuine.voiced, config, joints=genuine.joints, rng=rng)
    waveform = genuine.waveform()
    audio = tuple(maker.forge_sound(waveform, span) for span in audio_spans)
    visual = [maker.forge_picture(span) for span in visual_spans]
    pictures = Pictures(
        genuine, tuple((span[0], frames) for span, (frames, _) in zip(visual_spans, visual, strict=True))
    )
    return ForgedClip(pictures, waveform, audio, tuple(done for _, done in visual))


@dataclass(frozen=True)
class _Maker:
    """Forges spans of one clip."""

    genuine: Genuine
    others: tuple[Recording, ...]
    plan: ClipPlan
    config: ForgeConfig
    rng: np.random.Generator

    def forge_sound(self, waveform: NDArray[np.float32], span: Span) -> ForgedSpan:
        """Forge the span (in samples) in place."""
        start, stop = span
        take, begins = self.genuine.at(start // SAMPLES_PER_FRAME)
        length = stop - start
        usable = tuple(other for other in self.others if len(other.waveform) > length)
        method: AudioMethod = self._draw(self.config.methods_of(self.plan.split).audio, usable)
        waveform[start:stop] = forge_audio(
            waveform[start:stop],
            start + (take.first_frame - begins) * SAMPLES_PER_FRAME,
            (0, length),
            method,
            recording=take.recording,
            others=usable,
            fade_samples=round(self.config.audio_fade_seconds * self.config.level.fade_scale * SAMPLE_RATE_HZ),
            strength=self.config.level.strength,
            rng=self.rng,
        )
        return ForgedSpan(start / SAMPLE_RATE_HZ, stop / SAMPLE_RATE_HZ, method)

    def forge_picture(self, span: Span) -> tuple[NDArray[np.uint8], ForgedSpan]:
        """The span's forged frames. A few methods are tried until one changes something to see: a still face looks
        the same a second later."""
        start, stop = span
        take, begins = self.genuine.at(start)
        frames = self.genuine.frames(start, stop)
        usable = tuple(other for other in self.others if other.num_frames >= len(frames))
        best, best_method, best_change = frames, "", -1.0
        for _ in range(_NUM_VISUAL_TRIES):
            method: VisualMethod = self._draw(self.config.methods_of(self.plan.split).visual, usable)
            forged = forge_frames(
                frames,
                start + take.first_frame - begins,
                (0, len(frames)),
                method,
                recording=take.recording,
                others=usable,
                fade_frames=int(np.ceil(self.config.visual_fade_frames * self.config.level.fade_scale)),
                strength=self.config.level.strength,
                rng=self.rng,
            )
            change = visible_change(frames, forged)
            if change > best_change:
                best, best_method, best_change = forged, method, change
            if change >= _MIN_VISIBLE_CHANGE:
                break
        return best, ForgedSpan(start / FRAME_RATE_HZ, stop / FRAME_RATE_HZ, best_method)

    def _draw(self, methods: tuple[M, ...], donors: tuple[Recording, ...]) -> M:
        """A method; none that takes from other people where nobody can give as much, so that its name is true."""
        possible = methods if donors else tuple(method for method in methods if method not in DONOR_METHODS)
        if not possible:
            raise ValueError(
                f"{self.plan.split} has nobody else's recording that is long enough for {', '.join(methods)}; "
                "give recordings of more people, or other methods"
            )
        return possible[int(self.rng.integers(len(possible)))]
