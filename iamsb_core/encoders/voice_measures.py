"""What is measured in each cell of 20 ms of sound: the blocks of the handcrafted audio features.

Every function takes (MARGIN + cells * 320 + MARGIN,) samples and returns rows for all cells; those that look at
neighbouring cells are right for all but the first and last CONTEXT_CELLS, which the caller drops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iamsb_core.encoders import prediction, spectra
from iamsb_core.media.clip import SAMPLE_RATE_HZ

CELL_SAMPLES = 320
FINE_PER_CELL = 4
MARGIN = 320
"""samples on both sides: at least half the widest window"""
CONTEXT_CELLS = 4

_PHASE_FRAMES_PER_CELL = 8
_RESIDUAL_SAMPLES = 480
_NUM_REFLECTIONS = 10


class VoiceMeasures:
    """Measures sound on one device."""

    def __init__(self, device: torch.device) -> None:
        self._linear = spectra.linear_bands(257, list(range(0, 257, 8))).to(device)  # 32 bands of 250 Hz
        self._lfcc_bands = spectra.linear_bands(257, list(range(0, 257, 4))).to(device)
        self._lfcc = spectra.cosine_transform(64, 12).to(device)
        self._mel = spectra.mel_bands(257, 20, SAMPLE_RATE_HZ / 2).to(device)
        self._sub_frame = spectra.linear_bands(81, [0, 5, 10, 20, 40, 60, 81]).to(device)
        self._phase = spectra.linear_bands(161, list(range(0, 161, 10))).to(device)  # 16 bands of 500 Hz
        self._fine = spectra.linear_bands(81, [0, 4, 8, 14, 22, 32, 44, 60, 81]).to(device)
        self._fine_phase = spectra.linear_bands(161, [0, 10, 30, 60, 100, 160]).to(device)

    def __call__(self, samples: Tensor) -> dict[str, Tensor]:
        """Blocks (cells, columns) of the main track, and `fine` (cells, 4 * columns): four rows side by side."""
        bends = self._phase_bends(samples)
        framed = spectra.frames(samples, width=160, hop=CELL_SAMPLES // FINE_PER_CELL, margin=MARGIN)
        density = spectra.power(spectra.spectrum(framed))
        return {
            **self._spectral_shape(samples),
            **self._phase_irregularity(bends),
            **self._linear_prediction(samples),
            "sub_frame": self._sub_frame_energies(density),
            "fine": self._fine_rows(framed, density, bends),
        }

    def _spectral_shape(self, samples: Tensor) -> dict[str, Tensor]:
        """LFCC and log-mel with their slopes, and coarse linear bands."""
        framed = spectra.frames(samples, width=512, hop=CELL_SAMPLES // 2, margin=MARGIN)
        density = _by_cell(spectra.power(spectra.spectrum(framed)), 2).mean(dim=1)
        lfcc = spectra.log_power(density @ self._lfcc_bands) @ self._lfcc
        mel = spectra.log_power(density @ self._mel)
        return {
            "lfcc": lfcc,
            "lfcc_slope": spectra.deltas(lfcc),
            "mel": mel,
            "mel_slope": spectra.deltas(mel),
            "linear": spectra.log_power(density @ self._linear),
        }

    def _phase_bends(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Irregularity of the instantaneous frequency and of the group delay, each (8 cells, 161), every 2.5 ms."""
        hop = CELL_SAMPLES // _PHASE_FRAMES_PER_CELL
        spectrum = spectra.spectrum(spectra.frames(samples, width=320, hop=hop, margin=MARGIN))
        return spectra.irregularities(spectrum)

    def _phase_irregularity(self, bends: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Mean and maximum over each cell, in 16 bands."""
        frequency, delay = (_by_cell(bend @ self._phase, _PHASE_FRAMES_PER_CELL) for bend in bends)
        return {
            "frequency_mean": frequency.mean(dim=1),
            "frequency_max": frequency.amax(dim=1),
            "delay_mean": delay.mean(dim=1),
            "delay_max": delay.amax(dim=1),
        }

    def _linear_prediction(self, samples: Tensor) -> dict[str, Tensor]:
        """The predictor, how it changes, and the residual's level, shape and harmonics."""
        width, order = _RESIDUAL_SAMPLES, prediction.ORDER
        framed = spectra.frames(samples, width=width, hop=CELL_SAMPLES, margin=MARGIN)
        coefficients, reflections, lags = prediction.predictor(framed)
        history = spectra.frames(samples, width=width + 2 * order, hop=CELL_SAMPLES, margin=MARGIN)
        left_over = prediction.residual(history[:, : width + order], coefficients)
        return {
            "residual": prediction.residual_statistics(left_over, framed),
            "residual_flatness": prediction.flatness(left_over, 8),
            "wave_shape": prediction.shape(framed),
            "reflection": reflections[:, :_NUM_REFLECTIONS].clamp(-0.999, 0.999).atanh(),
            "neighbours": prediction.neighbour_distances(coefficients, lags),
        }

    def _sub_frame_energies(self, density: Tensor) -> Tensor:
        """(cells, 24): six bands' log energies in four windows of 10 ms, against the cell's own mean."""
        bands = _by_cell(spectra.log_power(density @ self._sub_frame), FINE_PER_CELL)
        return (bands - bands.mean(dim=1, keepdim=True)).flatten(1)

    def _fine_rows(self, framed: Tensor, density: Tensor, bends: tuple[Tensor, Tensor]) -> Tensor:
        """(cells, 4 * 28): eight bands, their flux, both irregularities in five bands, loudness, steepest step.

        framed: (4 * cells, 160) samples, density: their spectra's power.
        """
        bands = spectra.log_power(density @ self._fine)
        flux = bands - torch.cat([bands[:1], bands[:-1]])
        irregular = [_by_cell(bend @ self._fine_phase, 2).mean(dim=1) for bend in bends]
        loudness = spectra.log_power(density.mean(dim=1, keepdim=True))
        steepest = spectra.log_power(framed.diff(dim=1).square().amax(dim=1, keepdim=True))
        return torch.cat([bands, flux, *irregular, loudness, steepest], dim=1).reshape(-1, FINE_PER_CELL * 28)


def _by_cell(values: Tensor, num_rows: int) -> Tensor:
    """(cells * num_rows, columns) to (cells, num_rows, columns)."""
    return values.reshape(-1, num_rows, values.shape[-1])
