"""Short-time spectra of a piece of signal, cut so that every cell owns the same whole number of frames.

Frame j of a hop of h samples is centred on sample (j + 1/2) h of the piece, so the frames of a cell lie evenly inside
it. `samples` always carries `margin` extra samples on both sides, from which windows wider than their hop are fed.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

POWER_FLOOR = 1e-10
"""-100 dB of full scale: below the noise of 16-bit samples, so digital silence stays finite."""
_FAINT = 1e-10
"""amplitudes above this have a phase for certain"""


def frames(samples: Tensor, *, width: int, hop: int, margin: int) -> Tensor:
    """(margin + n hop + margin,) to (n, width) overlapping frames, unwindowed."""
    start = margin + (hop - width) // 2
    num_frames = (len(samples) - 2 * margin) // hop
    return samples[start : start + (num_frames - 1) * hop + width].unfold(0, width, hop)


def spectrum(framed: Tensor) -> Tensor:
    """(n, width) to (n, width // 2 + 1) complex: Hann window, scaled so that |.|^2 of white noise is its power."""
    window = torch.hann_window(framed.shape[1], device=framed.device)
    transformed: Tensor = torch.fft.rfft(framed * window)
    return transformed / math.sqrt(float(window.square().sum()))


def power(spectra: Tensor) -> Tensor:
    """|.|^2 of complex spectra."""
    return spectra.real.square() + spectra.imag.square()


def log_power(values: Tensor) -> Tensor:
    """Natural logarithm with the floor of 16-bit silence."""
    return (values + POWER_FLOOR).log()


def linear_bands(num_bins: int, edges_bins: list[int]) -> Tensor:
    """(num_bins, B): column b averages the bins [edges[b], edges[b + 1])."""
    bank = torch.zeros(num_bins, len(edges_bins) - 1)
    for band, (low, high) in enumerate(itertools.pairwise(edges_bins)):
        bank[low:high, band] = 1.0 / (high - low)
    return bank


def mel_bands(num_bins: int, num_bands: int, nyquist_hz: float) -> Tensor:
    """(num_bins, num_bands): triangles evenly spaced on the mel scale (O'Shaughnessy), each of unit sum."""
    mels = torch.linspace(0.0, 2595.0 * math.log10(1.0 + nyquist_hz / 700.0), num_bands + 2, dtype=torch.float64)
    corners = 700.0 * (10.0 ** (mels / 2595.0) - 1.0) / nyquist_hz * (num_bins - 1)
    bins = torch.arange(num_bins, dtype=torch.float64)[:, None]
    rising = (bins - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - bins) / (corners[2:] - corners[1:-1])
    bank = torch.minimum(rising, falling).clamp_min(0.0)
    nearest = torch.zeros_like(bank).scatter_(0, corners[1:-1].round().long()[None], 1e-3)
    bank = bank + nearest  # the narrowest triangles may fall between two bins
    return (bank / bank.sum(dim=0)).float()


def cosine_transform(num_bands: int, num_coefficients: int) -> Tensor:
    """(num_bands, num_coefficients): orthonormal DCT-II."""
    band = (torch.arange(num_bands, dtype=torch.float64) + 0.5)[:, None]
    order = torch.arange(num_coefficients, dtype=torch.float64)
    matrix = torch.cos(math.pi / num_bands * band * order) * math.sqrt(2.0 / num_bands)
    matrix[:, 0] /= math.sqrt(2.0)
    return matrix.float()


def deltas(values: Tensor) -> Tensor:
    """(n, d) slopes per row: least squares over five rows, the ends repeated."""
    padded = torch.cat([values[:1], values[:1], values, values[-1:], values[-1:]])
    return (2 * (padded[4:] - padded[:-4]) + padded[3:-1] - padded[1:-3]) / 10


def irregularities(spectra: Tensor) -> tuple[Tensor, Tensor]:
    """|second difference of the phase| along time and along frequency, in [0, 1] of pi, the ends repeated.

    spectra: (n, bins) complex. Along time it says how fast the instantaneous frequency changes, along frequency how
    fast the group delay does: small where a voice is steady, disturbed where a phase was made up, and one half where
    there is no sound at all.
    """
    real, imaginary = spectra.real.contiguous(), spectra.imag.contiguous()
    half_turns = torch.atan2(imaginary, real).div_(math.pi)
    # noise at the rounding of float32 decides the phase of digital silence; its middle value does not depend on it
    power = real.square_().add_(imaginary.square_())
    strength = None
    if bool(power.amin() < _FAINT**2):
        size = power.sqrt_()
        strength = size / (size + 1e-12)
    return _bend(half_turns, strength, 0), _bend(half_turns, strength, 1)


def _bend(half_turns: Tensor, strength: Tensor | None, dim: int) -> Tensor:
    """The second difference along a dimension, of phases over pi; one half where the three have no strength."""
    size = half_turns.shape[dim]
    before, here, after = (half_turns.narrow(dim, start, size - 2) for start in (0, 1, 2))
    bend = torch.empty_like(half_turns)
    inside = bend.narrow(dim, 1, size - 2)
    torch.add(before, after, out=inside).sub_(here, alpha=2)
    inside.sub_((inside / 2).round_(), alpha=2).abs_()
    if strength is not None:
        before, here, after = (strength.narrow(dim, start, size - 2) for start in (0, 1, 2))
        inside.masked_fill_(before * after * here.square() <= 0.5, 0.5)
    bend.narrow(dim, 0, 1).copy_(bend.narrow(dim, 1, 1))
    bend.narrow(dim, size - 1, 1).copy_(bend.narrow(dim, size - 2, 1))
    return bend
