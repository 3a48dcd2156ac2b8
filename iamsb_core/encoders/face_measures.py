"""What is measured in each picture of a face crop, given its neighbours: the blocks of the handcrafted video features.

Every function takes pictures of consecutive cells and returns one row for each; those that look at neighbours are
right for all rows but the first and last CONTEXT_FRAMES, which the caller drops. Energies are logarithms, so that
differences are ratios.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from iamsb_core.encoders import pictures
from iamsb_core.encoders.cosines import BandEnergies
from iamsb_core.encoders.pictures import Planes, after, before, with_previous
from iamsb_core.encoders.regions import (
    ALL,
    MOUTH,
    NUM_BLOCKS,
    UPPER,
    RegionMeans,
    against_mouth,
    block_means,
    block_rows,
)

CONTEXT_FRAMES = 2
_FLOOR = 0.02
"""in squared grey levels: well below the noise of 8-bit pictures (1 / 12)"""
_STILL_GREY_LEVELS = 0.5
_FLOW_RIDGE = 4.0
_FLOW_FLOOR = 1e-4
_FRAMES_IN_CACHE = 4
"""whose planes, at 224 pixels, a core keeps at hand"""
_QUARTERS_PER_FRAME = 6
"""pictures at quarter size that go through at once for each whole one"""


class _Last(NamedTuple):
    """The last picture of a run, which the next run is compared with; (1, height, width) each."""

    residual: Tensor
    step: Tensor
    half: Tensor


class _LastQuarter(NamedTuple):
    """The same at quarter size."""

    picture: Tensor
    step: Tensor


class _Rows(NamedTuple):
    """What is measured in each picture, and from it to those before it; (F, 5) are means over the regions."""

    fine: Tensor
    """(F, 5): energy of the residual, which is what the picture leaves of its neighbours' mean"""
    fourth: Tensor
    """(F, 5): the residual's fourth power"""
    step: Tensor
    """(F, 5): energy of the residual's step from the picture before"""
    turn: Tensor
    """(F, 5): product of this step and the one before it"""
    middle: Tensor
    """(F, 5): energy of the residual at half size"""
    bands: Tensor
    """(F, 6, 5): energies of the block cosine transform"""
    colours: Tensor
    """(F, 784, 3): mean of each block"""
    change: Tensor
    """(F, 784): mean absolute step of each block at half size"""
    quarter: Tensor
    """(F, side / 4, side / 4): the picture itself at quarter size"""


class _QuarterRows(NamedTuple):
    """What is measured at quarter size, likewise."""

    energy: Tensor
    """(F, 5): of the residual"""
    bend: Tensor
    """(F, 5): mean absolute difference of the step from the picture before and the step before that"""
    skip: Tensor
    """(F, 5): and of their sum, the step from the picture before the last"""
    step: Tensor
    """(F, 5): mean absolute step"""
    flow: Tensor
    """(F, 2, 5): pixels across and down from the picture before"""
    unexplained: Tensor
    """(F, 5): mean absolute step that this flow leaves over"""


class FaceMeasures:
    """Measures pictures on one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._regions, self._bands = RegionMeans(device), BandEnergies(device)
        self._run = _FRAMES_IN_CACHE if device.type == "cpu" else 1 << 30

    def __call__(self, frames: Tensor) -> dict[str, Tensor]:
        """(F, side, side, 3) uint8 to named blocks (F, columns)."""
        rows = self._rows(frames)
        quarter = self._quarter_rows(rows.quarter)
        return {
            **self._sharpness(rows, quarter.energy),
            **self._noise(rows),
            **self._changes(rows.change, quarter),
            **self._motion(quarter),
            **self._colours(rows.colours),
        }

    def _rows(self, frames: Tensor) -> _Rows:
        """A few pictures at a time: all planes of a whole pass would go through the memory again and again."""
        found: list[_Rows] = []
        last: _Last | None = None
        planes = Planes(self._device)
        runs: tuple[Tensor, ...] = torch.split(frames, self._run)
        for run in runs:
            rows, last = self._rows_of(run, last, planes)
            found.append(rows)
        return _Rows(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _rows_of(self, frames: Tensor, last: _Last | None, planes: Planes) -> tuple[_Rows, _Last]:
        colours = planes("colours", *frames.shape).copy_(frames)
        luma = pictures.luma(colours, planes)
        half = pictures.halved(luma, planes)
        residual = pictures.laplacian(luma, planes("residual", *luma.shape))
        step = planes("step", *luma.shape)
        with_previous(torch.sub, residual, None if last is None else last.residual, step)
        fine, fourth, stepped, turned = self._energies(residual, step, None if last is None else last.step, planes)
        rows = _Rows(
            fine=fine,
            fourth=fourth,
            step=stepped,
            turn=turned,
            middle=self._regions.of(pictures.laplacian(half).square_())[0],
            bands=self._bands(luma, planes),
            colours=pictures.block_colours(colours, NUM_BLOCKS),
            change=block_means(with_previous(torch.sub, half, None if last is None else last.half).abs_()),
            quarter=pictures.halved(half, planes),
        )
        return rows, _Last(*(stack[-1:].clone() for stack in (residual, step, half)))

    def _energies(self, residual: Tensor, step: Tensor, last_step: Tensor | None, planes: Planes) -> Tensor:
        """(4, F, 5): of the residual, its fourth power, its step, and the product of this step and the last."""
        product = planes("product", *residual.shape)
        power = [block_rows(torch.mul(residual, residual, out=product))]
        power.append(block_rows(product.square_()))
        power.append(block_rows(torch.mul(step, step, out=product)))
        power.append(block_rows(with_previous(torch.mul, step, last_step, product)))
        return self._regions.of_rows(torch.stack(power))

    def _quarter_rows(self, quarter: Tensor) -> _QuarterRows:
        """As `_rows`, but more pictures at a time."""
        found: list[_QuarterRows] = []
        last: _LastQuarter | None = None
        runs: tuple[Tensor, ...] = torch.split(quarter, self._run * _QUARTERS_PER_FRAME)
        for run in runs:
            rows, last = self._quarter_rows_of(run, last)
            found.append(rows)
        return _QuarterRows(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _quarter_rows_of(self, quarter: Tensor, last: _LastQuarter | None) -> tuple[_QuarterRows, _LastQuarter]:
        """With one Lucas-Kanade step for each region."""
        picture, last_step = (None, None) if last is None else last
        step = with_previous(torch.sub, quarter, picture)
        bend, skip = (with_previous(operation, step, last_step).abs_() for operation in (torch.sub, torch.add))
        across, down = pictures.gradients(with_previous(torch.add, quarter, picture).div_(2))
        planes = (across.square(), down.square(), across * down, across * step, down * step, bend, skip, step.abs())
        energy = pictures.laplacian(quarter).square_()
        xx, yy, xy, xt, yt, bend, skip, size, energy = self._regions.of(*planes, energy)
        xx, yy = xx + _FLOW_RIDGE, yy + _FLOW_RIDGE
        determinant = xx * yy - xy.square()
        u, v = (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant
        left_over = torch.addcmul(step, across, u[:, ALL, None, None]).addcmul_(down, v[:, ALL, None, None])
        (unexplained,) = self._regions.of(left_over.abs_())
        rows = _QuarterRows(energy, bend, skip, size, torch.stack([u, v], dim=1), unexplained)
        return rows, _LastQuarter(quarter[-1:], step[-1:])

    @staticmethod
    def _sharpness(rows: _Rows, coarse: Tensor) -> dict[str, Tensor]:
        """Energy of the residual at three scales and in six DCT bands, its kurtosis, and the mouth's against the rest.

        A region that was drawn at another resolution, or blended, differs here from its surroundings.
        """
        regional = [_log(energy) for energy in (rows.fine, rows.middle, coarse)]
        bands = _log(rows.bands)
        kurtosis = (rows.fourth / (rows.fine + _FLOOR).square() + 1.0).log()
        contrasts = [against_mouth(level) for level in (*regional, *bands.unbind(dim=1))]
        return {
            "sharpness": torch.cat(regional, dim=1),
            "sharpness_step": torch.cat([level - before(level) for level in regional[:2]], dim=1),
            "kurtosis": kurtosis,
            "dct": bands.flatten(1),
            "mouth_sharpness": torch.cat(contrasts, dim=1),
        }

    @staticmethod
    def _noise(rows: _Rows) -> dict[str, Tensor]:
        """How the residual agrees with those of the neighbours: a camera's noise does not, a frozen texture does.

        The residual's second difference is this step less the next, and from the picture before to the one after it
        goes both, so that their energies follow from those of the steps and of their product.
        """
        single, energy = rows.step, rows.fine
        following, turn = (torch.cat([value[1:], torch.zeros_like(value[:1])]) for value in (rows.step, rows.turn))
        bend, skip = ((single + following + sign * turn).clamp_min(0.0) for sign in (-2.0, 2.0))
        behind, ahead = before(energy), after(energy)
        levels = [_log(single), _log(bend), _log(skip)]
        return {
            "noise": torch.cat(levels, dim=1),
            "mouth_noise": torch.cat([against_mouth(level) for level in levels], dim=1),
            "noise_agreement": torch.cat(
                [
                    (energy + behind - single) / (2 * (energy * behind).sqrt() + _FLOOR),
                    (behind + ahead - skip) / (2 * (behind * ahead).sqrt() + _FLOOR),
                    _log(single) - _log(after(single)),
                ],
                dim=1,
            ),
        }

    def _changes(self, change: Tensor, rows: _QuarterRows) -> dict[str, Tensor]:
        """Differences between pictures, and signs of a picture that was shown twice."""
        double, skip = (torch.cat([value[1:], rows.step[-1:]]) for value in (rows.bend, rows.skip))
        still = (change < _STILL_GREY_LEVELS).float().mean(dim=1, keepdim=True)
        middle = change.median(dim=1, keepdim=True).values
        return {
            "change": torch.cat([_log(self._regions.of_blocks(change)), _log(middle), still], dim=1),
            "change_bend": torch.cat([_log(double), _log(skip)], dim=1),
        }

    @staticmethod
    def _motion(rows: _QuarterRows) -> dict[str, Tensor]:
        """Speed, its jerk, the mouth's flow against the face's, and what the flow leaves."""
        u, v = rows.flow.unbind(dim=1)
        relative = [flow[:, MOUTH : MOUTH + 1] - flow[:, UPPER : UPPER + 2] for flow in (u, v)]
        return {
            "speed": (u.square() + v.square() + _FLOW_FLOOR).log(),
            "jerk": ((u - before(u)).square() + (v - before(v)).square() + _FLOW_FLOOR).log(),
            "mouth_motion": torch.cat(relative, dim=1),
            "unexplained": _log(rows.unexplained),
        }

    def _colours(self, blocks: Tensor) -> dict[str, Tensor]:
        """Brightness and tint of the regions, the mouth's against the rest, and how they flicker."""
        means = self._regions.of_colours(blocks)
        red, green, blue = (means + 1.0).log().unbind(dim=1)
        levels = [green, red - green, blue - green]
        return {
            "colour": torch.cat(levels, dim=1),
            "mouth_colour": torch.cat([against_mouth(level) for level in levels], dim=1),
            "flicker": _log((means - before(means)).abs().mean(dim=1)),
        }


def _log(energy: Tensor) -> Tensor:
    return (energy + _FLOOR).log()
