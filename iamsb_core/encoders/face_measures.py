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
from iamsb_core.encoders.pictures import after, before
from iamsb_core.encoders.regions import (
    ALL,
    MOUTH,
    NUM_BLOCKS,
    UPPER,
    against_mouth,
    block_means,
    region_weights,
)

CONTEXT_FRAMES = 2
_FLOOR = 0.02
"""in squared grey levels: well below the noise of 8-bit pictures (1 / 12)"""
_STILL_GREY_LEVELS = 0.5
_LUMA = (0.299, 0.587, 0.114)
_FLOW_RIDGE = 4.0
_FLOW_FLOOR = 1e-4
_FRAMES_IN_CACHE = 4
"""whose planes, at 224 pixels, a core keeps at hand"""


class _Maps(NamedTuple):
    """What is measured in each picture by itself: pictures of one kind, and 28 x 28 blocks of them."""

    residual: Tensor
    """(F, side, side): what the picture leaves of its neighbours' mean"""
    half: Tensor
    quarter: Tensor
    energies: tuple[Tensor, Tensor, Tensor]
    """(F, 784) each: of the residual at full, half and quarter size"""
    fourth: Tensor
    """(F, 784): the residual's fourth power"""
    bands: Tensor
    """(F, 784, NUM_DCT_BANDS)"""
    colours: Tensor
    """(F, 784, 3)"""


class FaceMeasures:
    """Measures pictures on one device."""

    def __init__(self, device: torch.device) -> None:
        self._regions = region_weights().to(device)
        self._luma = torch.tensor(_LUMA, device=device)
        self._dct, self._dct_bands = (matrix.to(device) for matrix in pictures.dct_matrices())
        self._run = _FRAMES_IN_CACHE if device.type == "cpu" else 1 << 30

    def __call__(self, frames: Tensor) -> dict[str, Tensor]:
        """(F, side, side, 3) uint8 to named blocks (F, columns)."""
        maps = self._maps(frames)
        return {
            **self._sharpness(maps),
            **self._noise(maps),
            **self._changes(maps.half, maps.quarter),
            **self._motion(maps.quarter),
            **self._colours(maps.colours),
        }

    def _maps(self, frames: Tensor) -> _Maps:
        """A few pictures at a time: all planes of a whole pass would go through the memory again and again."""
        runs: tuple[Tensor, ...] = torch.split(frames, self._run)
        parts = [self._maps_of(run) for run in runs]
        fine, middle, coarse = (torch.cat(level) for level in zip(*(part.energies for part in parts), strict=True))
        return _Maps(
            residual=torch.cat([part.residual for part in parts]),
            half=torch.cat([part.half for part in parts]),
            quarter=torch.cat([part.quarter for part in parts]),
            energies=(fine, middle, coarse),
            fourth=torch.cat([part.fourth for part in parts]),
            bands=torch.cat([part.bands for part in parts]),
            colours=torch.cat([part.colours for part in parts]),
        )

    def _maps_of(self, frames: Tensor) -> _Maps:
        colours = frames.float()
        luma = colours @ self._luma
        half = pictures.halved(luma)
        quarter = pictures.halved(half)
        residual = pictures.laplacian(luma)
        power = residual.square()
        return _Maps(
            residual=residual,
            half=half,
            quarter=quarter,
            energies=(
                block_means(power),
                block_means(pictures.laplacian(half).square()),
                block_means(pictures.laplacian(quarter).square()),
            ),
            fourth=block_means(power.square()),
            bands=pictures.dct_band_energies(luma, self._dct, self._dct_bands),
            colours=_colour_blocks(colours),
        )

    def _regional(self, maps: Tensor) -> Tensor:
        """(F, height, width) to (F, 5) region means."""
        return block_means(maps) @ self._regions

    def _sharpness(self, maps: _Maps) -> dict[str, Tensor]:
        """Energy of the residual at three scales and in six DCT bands, its kurtosis, and the mouth's against the rest.

        A region that was drawn at another resolution, or blended, differs here from its surroundings.
        """
        regional = [_log(energy @ self._regions) for energy in maps.energies]
        bands = _log(torch.einsum("fbk,br->fkr", maps.bands, self._regions))
        fourth = maps.fourth @ self._regions
        kurtosis = (fourth / ((maps.energies[0] @ self._regions) + _FLOOR).square() + 1.0).log()
        contrasts = [against_mouth(level) for level in (*regional, *bands.unbind(dim=1))]
        return {
            "sharpness": torch.cat(regional, dim=1),
            "sharpness_step": torch.cat([level - before(level) for level in regional[:2]], dim=1),
            "kurtosis": kurtosis,
            "dct": bands.flatten(1),
            "mouth_sharpness": torch.cat(contrasts, dim=1),
        }

    def _noise(self, maps: _Maps) -> dict[str, Tensor]:
        """How the residual agrees with those of the neighbours: a camera's noise does not, a frozen texture does."""
        single, bend, skip = (blocks @ self._regions for blocks in self._residual_steps(maps.residual))
        energy = maps.energies[0] @ self._regions
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

    def _residual_steps(self, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(F, 784) each: squared differences to the picture before, to both beside it, and between those two."""
        steps = []
        for first in range(0, len(residual), self._run):
            here = residual[first : first + self._run]
            beyond = residual[first + len(here) : first + len(here) + 1]
            last = torch.cat([residual[max(0, first - 1) :][:1], here[:-1]])
            following = torch.cat([here[1:], beyond if len(beyond) else here[-1:]])
            differences = (here - last, following - 2 * here + last, following - last)
            steps.append([block_means(difference.square()) for difference in differences])
        single, bend, skip = (torch.cat(blocks) for blocks in zip(*steps, strict=True))
        return single, bend, skip

    def _changes(self, half: Tensor, quarter: Tensor) -> dict[str, Tensor]:
        """Differences between pictures, and signs of a picture that was shown twice."""
        change = block_means((half - before(half)).abs())
        last, following = before(quarter), after(quarter)
        double = self._regional((following - 2 * quarter + last).abs())
        skip = self._regional((following - last).abs())
        still = (change < _STILL_GREY_LEVELS).float().mean(dim=1, keepdim=True)
        middle = change.median(dim=1, keepdim=True).values
        return {
            "change": torch.cat([_log(change @ self._regions), _log(middle), still], dim=1),
            "change_bend": torch.cat([_log(double), _log(skip)], dim=1),
        }

    def _motion(self, quarter: Tensor) -> dict[str, Tensor]:
        """One Lucas-Kanade step for each region: speed, its jerk, the mouth's against the face's, what it leaves."""
        last = before(quarter)
        across, down = pictures.gradients((quarter + last) / 2)
        change = quarter - last
        xx, yy = (self._regional(slope.square()) + _FLOW_RIDGE for slope in (across, down))
        xy, xt, yt = (self._regional(a * b) for a, b in ((across, down), (across, change), (down, change)))
        determinant = xx * yy - xy.square()
        u, v = (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant
        left_over = change + across * u[:, ALL, None, None] + down * v[:, ALL, None, None]
        relative = [flow[:, MOUTH : MOUTH + 1] - flow[:, UPPER : UPPER + 2] for flow in (u, v)]
        return {
            "speed": (u.square() + v.square() + _FLOW_FLOOR).log(),
            "jerk": ((u - before(u)).square() + (v - before(v)).square() + _FLOW_FLOOR).log(),
            "mouth_motion": torch.cat(relative, dim=1),
            "unexplained": _log(self._regional(left_over.abs())),
        }

    def _colours(self, blocks: Tensor) -> dict[str, Tensor]:
        """Brightness and tint of the regions, the mouth's against the rest, and how they flicker."""
        means = torch.einsum("fbk,br->fkr", blocks, self._regions)
        red, green, blue = (means + 1.0).log().unbind(dim=1)
        levels = [green, red - green, blue - green]
        return {
            "colour": torch.cat(levels, dim=1),
            "mouth_colour": torch.cat([against_mouth(level) for level in levels], dim=1),
            "flicker": _log((means - before(means)).abs().mean(dim=1)),
        }


def _colour_blocks(colours: Tensor) -> Tensor:
    """(F, side, side, 3) to (F, 784, 3): the mean of each block."""
    side = colours.shape[1] // NUM_BLOCKS
    rows = colours.reshape(len(colours), NUM_BLOCKS, side, -1).sum(dim=2)
    return rows.reshape(len(colours), NUM_BLOCKS, NUM_BLOCKS, side, 3).sum(dim=3).flatten(1, 2) / side**2


def _log(energy: Tensor) -> Tensor:
    return (energy + _FLOOR).log()
