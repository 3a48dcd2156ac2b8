"""Which stretches of a clip are forged, in each stream: decided by its kind and the configuration's placement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.asynchronous import Stream, place_asynchronous
from iamsb_core.forgery.config import FRAME_RATE_HZ, SAMPLES_PER_FRAME, ForgeConfig
from iamsb_core.forgery.placement import Ground, Span, place_spans
from iamsb_core.forgery.plan import ClipKind

Spans = tuple[tuple[Span, ...], tuple[Span, ...]]
"""audio spans in samples of the clip, visual spans in frames of it"""

_UNITS_PER_FRAME: dict[Stream, int] = {"audio": SAMPLES_PER_FRAME, "visual": 1}
_NUM_TRIES = 20


def forged_spans(
    kind: ClipKind,
    voiced: NDArray[np.bool_],
    config: ForgeConfig,
    *,
    joints: tuple[int, ...] = (),
    rng: np.random.Generator,
) -> Spans:
    """Spans for a clip of this kind: at least one in each stream that it is forged in, none within 0.3 s of a joint.

    voiced: (num_frames,). Raises ValueError where there is no room for them, which no valid configuration leads to.
    """
    away = tuple((joint, joint) for joint in joints)
    for attempt in range(_NUM_TRIES):
        bounds = config.forged_seconds if attempt < _NUM_TRIES // 2 else (config.forged_seconds[0],) * 2
        audio, visual = _try(kind, voiced, config, bounds=bounds, away=away, rng=rng)
        if all(found for found, stream in ((audio, "audio"), (visual, "visual")) if is_forged(kind, stream)):
            return audio, visual
    raise ValueError(
        f"no room for a forged segment of {config.forged_seconds[0]} s in a clip of {len(voiced) / FRAME_RATE_HZ} s "
        f"of {len(joints) + 1} takes; give longer clips or shorter segments"
    )


def is_forged(kind: ClipKind, stream: str) -> bool:
    """Whether clips of this kind are forged in the stream."""
    return kind == stream or kind.startswith("both")


def _try(
    kind: ClipKind,
    voiced: NDArray[np.bool_],
    config: ForgeConfig,
    *,
    bounds: tuple[float, float],
    away: tuple[Span, ...],
    rng: np.random.Generator,
) -> Spans:
    if config.placement == "asynchronous" and kind in {"audio", "visual", "both_different_times"}:
        return _asynchronous(kind, voiced, config, bounds=bounds, away=away, rng=rng)

    def place(stream: Stream, taken: tuple[Span, ...] = (), most: int | None = None) -> tuple[Span, ...]:
        units = _UNITS_PER_FRAME[stream]
        return place_spans(
            _how_many(config, len(voiced), rng) if most is None else int(rng.integers(1, most + 1)),
            voiced,
            units_per_frame=units,
            frame_rate_hz=FRAME_RATE_HZ,
            segment_seconds=bounds,
            taken=_in_samples(taken) if stream == "audio" else taken,
            rng=rng,
        )

    if kind == "audio":
        return place("audio", away), ()
    if kind == "visual":
        return (), place("visual", away)
    if kind == "both_same_time":
        visual = place("visual", away)
        return _in_samples(visual), visual
    if kind == "both_different_times":
        visual = place("visual", away, most=1)
        return place("audio", away + visual, most=1), visual
    return (), ()


def _in_samples(frames: tuple[Span, ...]) -> tuple[Span, ...]:
    return tuple((start * SAMPLES_PER_FRAME, stop * SAMPLES_PER_FRAME) for start, stop in frames)


def _asynchronous(
    kind: ClipKind,
    voiced: NDArray[np.bool_],
    config: ForgeConfig,
    *,
    bounds: tuple[float, float],
    away: tuple[Span, ...],
    rng: np.random.Generator,
) -> Spans:
    streams: tuple[Stream, ...] = ("audio", "visual")
    found = place_asynchronous(
        {stream: _how_many(config, len(voiced), rng) for stream in streams if is_forged(kind, stream)},
        {stream: Ground(voiced, units, units * float(FRAME_RATE_HZ)) for stream, units in _UNITS_PER_FRAME.items()},
        segment_seconds=bounds,
        length_scale=config.level.length_scale,
        joints=away,
        rng=rng,
    )
    return found["audio"], found["visual"]


def _how_many(config: ForgeConfig, num_frames: int, rng: np.random.Generator) -> int:
    """From 1 to max_segments; in a long clip from half of max_segments_per_minute's number to all of it."""
    by_length = round(config.max_segments_per_minute * num_frames / FRAME_RATE_HZ / 60)
    return int(rng.integers(max(1, by_length // 2), max(config.max_segments, by_length) + 1))
