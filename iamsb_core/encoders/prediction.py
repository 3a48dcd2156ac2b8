"""Linear prediction of short frames: the predictor, what it leaves over, and how it changes from cell to cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.encoders.spectra import POWER_FLOOR, log_power

ORDER = 16
_WHITE_NOISE = 1e-5
"""share of the power added as white noise, so that band-limited frames stay solvable (-50 dB)"""
_PITCH_LAGS = slice(40, 201)
"""80 to 400 Hz"""


def predictor(framed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Levinson-Durbin on Hamming-windowed frames (n, width).

    Returns the error filter (n, ORDER + 1) with a leading 1, the reflection coefficients (n, ORDER), and the
    autocorrelation (n, ORDER + 1).
    """
    window = torch.hamming_window(framed.shape[1], periodic=False, device=framed.device)
    lags = autocorrelation(framed * window)[:, : ORDER + 1].T.double().contiguous()  # frames last: whole rows at once
    lags[0] = lags[0] * (1.0 + _WHITE_NOISE) + framed.shape[1] * POWER_FLOOR
    coefficients = torch.zeros_like(lags)
    coefficients[0] = 1.0
    error, reflections = lags[0].clone(), []
    for order in range(1, ORDER + 1):
        reached = coefficients[:order]
        reflection = -(reached * lags[1 : order + 1].flip(0)).sum(dim=0) / error
        coefficients[1 : order + 1] += reflection * reached.flip(0)
        error = error * (1.0 - reflection.square()).clamp_min(1e-6)
        reflections.append(reflection)
    found = (coefficients, torch.stack(reflections), lags)
    filters, reflected, lagged = (table.T.float().contiguous() for table in found)
    return filters, reflected, lagged


def autocorrelation(framed: Tensor) -> Tensor:
    """(n, width) to (n, width): linear autocorrelation by a zero-padded transform."""
    width = framed.shape[1]
    spectra = torch.fft.rfft(framed, n=2 * width)
    lags: Tensor = torch.fft.irfft(spectra.real.square() + spectra.imag.square(), n=2 * width)
    return lags[:, :width]


def residual(framed: Tensor, coefficients: Tensor) -> Tensor:
    """(n, ORDER + width) frames with their history to the (n, width) that the predictor leaves over."""
    width = framed.shape[1] - ORDER
    left_over = framed[:, ORDER:] * coefficients[:, :1]
    for lag in range(1, ORDER + 1):
        left_over.addcmul_(framed[:, ORDER - lag : ORDER - lag + width], coefficients[:, lag : lag + 1])
    return left_over


def residual_statistics(left_over: Tensor, framed: Tensor) -> Tensor:
    """(n, 7): level, prediction gain, skewness, kurtosis, crest, periodicity and pitch lag of the residual.

    left_over: (n, width); framed: the same samples before prediction. All of them logarithms or ratios.
    """
    mean_power = left_over.square().mean(dim=1)
    scaled = left_over / (mean_power + POWER_FLOOR).sqrt()[:, None]
    lags = autocorrelation(scaled)
    periodicity, lag = (lags[:, _PITCH_LAGS] / (lags[:, :1] + 1e-3)).max(dim=1)
    columns = [
        log_power(mean_power),
        log_power(framed.square().mean(dim=1)) - log_power(mean_power),
        (scaled.abs().amax(dim=1) + 1.0).log(),
        periodicity,
        lag.float() / _PITCH_LAGS.stop,
    ]
    return torch.cat([torch.stack(columns, dim=1), shape(scaled)], dim=1)


def shape(framed: Tensor) -> Tensor:
    """(n, 4): skewness and log kurtosis of each frame, and of five frames together.

    Glottal pulses point one way; whatever rebuilds a voice from its spectrum loses that.
    """
    square = framed.square()
    moments = torch.stack([power.mean(dim=1) for power in (square, square * framed, square.square())])
    pooled = F.avg_pool1d(moments[None], 5, stride=1, padding=2, count_include_pad=False)[0]
    return torch.cat([_skewness_and_kurtosis(moments), _skewness_and_kurtosis(pooled)], dim=1)


def _skewness_and_kurtosis(moments: Tensor) -> Tensor:
    second, third, fourth = moments
    spread = second + POWER_FLOOR
    return torch.stack([third / spread.pow(1.5), (fourth / spread.square() + 1.0).log()], dim=1)


def flatness(left_over: Tensor, num_bands: int) -> Tensor:
    """(n, num_bands): log of the arithmetic over the geometric mean of a frame's power spectrum, band by band.

    0 for a flat spectrum; in the residual it says how far up the harmonics of a voice reach.
    """
    window = torch.hann_window(left_over.shape[1], device=left_over.device)
    spectra = torch.fft.rfft(left_over * window)[:, 1:]
    density: Tensor = spectra.real.square() + spectra.imag.square() + left_over.shape[1] * POWER_FLOOR
    bands = density.reshape(len(density), num_bands, -1)
    return bands.mean(dim=2).log() - bands.log().mean(dim=2)


def neighbour_distances(coefficients: Tensor, lags: Tensor) -> Tensor:
    """(n, 2): Itakura's log likelihood ratio of a frame under the predictor of the one before, and of the one after.

    0 where the neighbour predicts it as well as its own predictor does; large where the voice jumps.
    """
    index = torch.arange(ORDER + 1, device=lags.device)
    toeplitz = lags[:, (index[:, None] - index).abs()]

    def error(filters: Tensor) -> Tensor:
        return torch.einsum("ni,nij,nj->n", filters, toeplitz, filters).clamp_min(1e-12)

    own = error(coefficients)
    before = torch.cat([coefficients[:1], coefficients[:-1]])
    after = torch.cat([coefficients[1:], coefficients[-1:]])
    return torch.stack([(error(before) / own).log(), (error(after) / own).log()], dim=1)
