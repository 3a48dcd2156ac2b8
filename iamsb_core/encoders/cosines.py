"""Energies of the 8 x 8 block cosine transform of pictures, in bands of order, averaged over the regions of a face.

The transform is two matrix products on pictures as they lie in memory, and the regions are sums over rows and then
over columns: no block is ever copied out of its picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.encoders.pictures import Planes
from iamsb_core.encoders.regions import NUM_BLOCKS, region_weights
from iamsb_core.encoders.spectra import cosine_transform

BLOCK_PIXELS = 8
_BAND_EDGES = (1, 2, 3, 5, 7, 10, 15)
"""horizontal plus vertical order; 0 is the block's mean"""
NUM_BANDS = len(_BAND_EDGES) - 1
_BLOCKS_AT_ONCE = 2
"""of those beside one another: products of 16 x 16 take less time than twice as many of 8 x 8"""


class BandEnergies:
    """Regional means of the transform's energies in bands of order, on one device."""

    def __init__(self, device: torch.device) -> None:
        basis = cosine_transform(BLOCK_PIXELS, BLOCK_PIXELS)
        self._device = device
        self._down = basis.T.contiguous().to(device)
        self._across = torch.kron(torch.eye(_BLOCKS_AT_ONCE), basis).to(device)
        self._bands = _band_means()
        self._sums: dict[int, _RegionSums] = {}

    def coefficients(self, pictures: Tensor, planes: Planes) -> Tensor:
        """(F, height, width) to (F, height / 8, 8, width): row by, order down, then 8 orders across for each block."""
        num_frames, height, width = pictures.shape
        strips = pictures.reshape(-1, BLOCK_PIXELS, width)
        down = planes("down", *strips.shape)
        torch.bmm(self._down.expand(len(strips), -1, -1), strips, out=down)
        across = planes("across", down.numel() // len(self._across), len(self._across))
        torch.mm(down.view(across.shape), self._across, out=across)
        return across.view(num_frames, height // BLOCK_PIXELS, BLOCK_PIXELS, width)

    def __call__(self, pictures: Tensor, planes: Planes) -> Tensor:
        """(F, side, side) to (F, NUM_BANDS, 5)."""
        squares = self.coefficients(pictures, planes).square_().flatten(2)
        num_blocks = squares.shape[1]
        sums = self._sums.get(num_blocks)
        if sums is None:
            sums = self._sums[num_blocks] = _RegionSums(num_blocks, self._bands, self._device)
        return sums(squares)


class _RegionSums:
    """Sums over the blocks of each region: first over rows that show the same columns, then over those columns."""

    def __init__(self, num_blocks: int, bands: Tensor, device: torch.device) -> None:
        rows, columns, which, region = _rectangles(num_blocks)
        # (kinds of columns, bands) of (orders down, blocks across, orders across)
        across = torch.einsum("sx,dob->sbdxo", columns, bands).reshape(len(columns) * NUM_BANDS, -1)
        self._rows, self._across, self._which = rows.to(device), across.to(device), which.to(device)
        self._region = region.to(device)

    def __call__(self, squares: Tensor) -> Tensor:
        """(F, num_blocks, 8 * width) to (F, NUM_BANDS, 5)."""
        num_frames, num_parts = len(squares), len(self._rows)
        strips = torch.bmm(self._rows.expand(num_frames, -1, -1), squares)
        kinds = F.linear(strips.flatten(0, 1), self._across).reshape(num_frames, num_parts, -1, NUM_BANDS)
        parts = kinds[:, torch.arange(num_parts, device=self._which.device), self._which]
        return parts.transpose(1, 2) @ self._region


def _band_means() -> Tensor:
    """(8, 8, NUM_BANDS): what averages the orders (down, across) of each band."""
    order = (torch.arange(BLOCK_PIXELS)[:, None] + torch.arange(BLOCK_PIXELS))[..., None]
    low, high = torch.tensor(_BAND_EDGES[:-1]), torch.tensor(_BAND_EDGES[1:])
    bands = ((order >= low) & (order < high)).float()
    return bands / bands.sum(dim=(0, 1))


def _rectangles(num_blocks: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The regions' weights on num_blocks x num_blocks blocks, taken apart into runs of rows with the same columns.

    Returns the weights of each part's rows (P, num_blocks), the kinds of columns (S, num_blocks), which kind each part
    has (P,), and which region it is of, (P, 5) of zeros and ones.
    """
    weights = region_weights().T.reshape(1, -1, NUM_BLOCKS, NUM_BLOCKS)
    spread = F.interpolate(weights, size=(num_blocks, num_blocks), mode="area")[0] * (NUM_BLOCKS / num_blocks) ** 2
    rows, columns, regions = [], [], []
    for number, region in enumerate(spread):
        patterns, place = torch.unique(region, dim=0, return_inverse=True)
        for kind, pattern in enumerate(patterns):
            if pattern.any():
                rows.append((place == kind).float() * pattern.max())
                columns.append(pattern / pattern.max())
                regions.append(number)
    kinds, which = torch.unique(torch.stack(columns), dim=0, return_inverse=True)
    return torch.stack(rows), kinds, which, F.one_hot(torch.tensor(regions), len(spread)).float()
