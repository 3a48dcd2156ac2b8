"""Resampling a long sound in pieces: the same samples as in one go, in bounded memory."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

_ZEROS = 6
"""torchaudio's default kernel: zero crossings on each side, cut-off at 0.99 of the Nyquist rate"""
_ROLLOFF = 0.99
_PIECE_SAMPLES = 1 << 20


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """A whole sound, (num_samples,), at another rate: ceil(num_samples * to_hz / from_hz) samples."""
    resampler = Resampler(from_hz, to_hz)
    return np.concatenate([*resampler.push(samples), resampler.finish()])


class Resampler:
    """Mono sound from one rate to another, pushed in pieces of any length.

    Every piece is resampled with enough of its neighbours that no seam shows. Rates whose ratio needs a denominator
    above 1000 are taken at the nearest ratio below it: an error under one part in a million.
    """

    def __init__(self, from_hz: int, to_hz: int, *, piece_samples: int = _PIECE_SAMPLES) -> None:
        """piece_samples: how many are waited for before any are given back; fewer cost more time and give the same."""
        self._ratio = Fraction(to_hz, from_hz).limit_denominator(1000)
        self._block = self._ratio.denominator
        reach = math.ceil(_ZEROS * self._block / (min(self._block, self._ratio.numerator) * _ROLLOFF))
        self._context = (reach // self._block + 1) * self._block
        self._piece = max(1, piece_samples // self._block) * self._block
        self._held: Samples = np.zeros(0, dtype=np.float32)
        self._num_done = 0
        self._waiting: list[Samples] = []
        self._num_waiting = 0

    def push(self, samples: Samples) -> list[Samples]:
        """Take samples in; give back what is ready, in order."""
        self._waiting.append(samples)
        self._num_waiting += len(samples)
        wanted = self._num_done + self._piece + self._context
        if len(self._held) + self._num_waiting < wanted:
            return []
        self._gather()
        ready = []
        while len(self._held) >= (wanted := self._num_done + self._piece + self._context):
            ready.append(self._emit(self._piece, wanted))
        return ready

    def finish(self) -> Samples:
        """What is left, to the last sample."""
        self._gather()
        rest = len(self._held) - self._num_done
        return self._emit(rest, len(self._held)) if rest > 0 else self._held[:0]

    def _gather(self) -> None:
        self._held = np.concatenate([self._held, *self._waiting])
        self._waiting, self._num_waiting = [], 0

    def _emit(self, num_samples: int, num_seen: int) -> Samples:
        """Resample the next num_samples among num_seen; drop what no later sample needs."""
        resampled = self._resample(self._held[:num_seen])
        first = self._num_done * self._ratio.numerator // self._block
        length = math.ceil(num_samples * self._ratio.numerator / self._block)
        keep_from = max(0, self._num_done + num_samples - self._context)
        self._held = self._held[keep_from:]
        self._num_done += num_samples - keep_from
        return resampled[first : first + length]

    def _resample(self, samples: Samples) -> Samples:
        if self._ratio == 1:
            return samples
        import torch  # noqa: PLC0415 - most of a decoding process's start and memory, needed at other rates only
        import torchaudio.functional  # noqa: PLC0415

        sound = torch.from_numpy(np.ascontiguousarray(samples))
        resampled = torchaudio.functional.resample(sound, self._block, self._ratio.numerator)
        return np.asarray(resampled.numpy(), dtype=np.float32)
