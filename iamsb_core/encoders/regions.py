"""Pictures of a face as 28 x 28 blocks, and the regions of a face among them.

The crop is a square around the face, 1.6 times as wide as a face detector's box and held steady; the regions are where
the parts of a frontal face lie in it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_BLOCKS = 28
"""along each side; a picture's side must be a multiple of it"""
REGIONS: dict[str, tuple[tuple[slice, slice], ...]] = {
    "mouth": ((slice(16, 24), slice(9, 19)),),
    "upper": ((slice(8, 15), slice(7, 21)),),
    "around": (
        (slice(13, 16), slice(7, 21)),
        (slice(16, 26), slice(6, 9)),
        (slice(16, 26), slice(19, 22)),
        (slice(24, 26), slice(9, 19)),
    ),
    "border": ((slice(0, 3), slice(0, 28)), (slice(3, 28), slice(0, 3)), (slice(3, 28), slice(25, 28))),
    "all": ((slice(0, 28), slice(0, 28)),),
}
"""(rows, columns) of blocks; `around` is the ring of lip, cheeks and chin around the mouth"""
MOUTH, UPPER, AROUND, BORDER, ALL = range(5)
_PICTURES_AT_ONCE = 28
_SMALL_SIDE = 56
"""up to which one product with all pixels takes less time than sums over rows first"""


def region_weights() -> Tensor:
    """(784, 5): column r averages the blocks of region r."""
    weights = torch.zeros(len(REGIONS), NUM_BLOCKS, NUM_BLOCKS)
    for region, rectangles in zip(weights, REGIONS.values(), strict=True):
        for rows, columns in rectangles:
            region[rows, columns] = 1.0
    flat = weights.flatten(1)
    return (flat / flat.sum(dim=1, keepdim=True)).T.contiguous()


def block_rows(pictures: Tensor) -> Tensor:
    """(F, side, ...) to (F, 28, ...): the sum over each block's rows.

    Rows first: sums over a strided axis of whole rows run several times faster than over small squares.
    """
    num_frames, side, *others = pictures.shape
    return pictures.reshape(num_frames, NUM_BLOCKS, side // NUM_BLOCKS, *others).sum(dim=2)


def block_means(pictures: Tensor) -> Tensor:
    """(F, side, side) to (F, 784): the mean of each block."""
    side = pictures.shape[1] // NUM_BLOCKS
    rows = block_rows(pictures)
    return rows.reshape(len(pictures), NUM_BLOCKS, NUM_BLOCKS, side).sum(dim=3).flatten(1) / side**2


class RegionMeans:
    """Means over the regions, on one device."""

    def __init__(self, device: torch.device) -> None:
        self._weights = region_weights().to(device)
        self._by_side: dict[tuple[str, int], Tensor] = {}

    def of_blocks(self, blocks: Tensor) -> Tensor:
        """(F, 784) to (F, 5)."""
        return blocks @ self._weights

    def of_colours(self, blocks: Tensor) -> Tensor:
        """(F, 784, 3) to (F, 3, 5).

        Always as many pictures at once: the rounding of what hardly flickers would show how many there were.
        """
        runs: tuple[Tensor, ...] = torch.split(blocks, _PICTURES_AT_ONCE)
        return torch.cat([torch.einsum("fbk,br->fkr", run, self._weights) for run in runs])

    def of(self, *pictures: Tensor) -> Tensor:
        """K stacks of pictures (F, side, side), measured together, to (K, F, 5)."""
        if pictures[0].shape[2] <= _SMALL_SIDE:
            return F.linear(torch.stack(pictures).flatten(2), self._along("pixels", pictures[0].shape[2]))
        return self.of_rows(torch.stack([block_rows(stack) for stack in pictures]))

    def of_rows(self, rows: Tensor) -> Tensor:
        """(K, F, 28, side) sums over the blocks' rows to (K, F, 5)."""
        return F.linear(rows.flatten(2), self._along("rows", rows.shape[3]))

    def _along(self, what: str, side: int) -> Tensor:
        """(5, n): what turns n pixels, or sums over the blocks' rows, of a picture into means over the regions."""
        weights = self._by_side.get((what, side))
        if weights is None:
            width = side // NUM_BLOCKS
            blocks = self._weights.T.reshape(-1, NUM_BLOCKS, NUM_BLOCKS) / width**2
            rows = blocks.repeat_interleave(width, dim=2)
            whole = rows if what == "rows" else rows.repeat_interleave(width, dim=1)
            weights = self._by_side[what, side] = whole.flatten(1).contiguous()
        return weights


def against_mouth(regions: Tensor) -> Tensor:
    """(F, 5) logarithms to (F, 3): the mouth's against the upper face's, the ring's around it and the border's."""
    return regions[:, MOUTH : MOUTH + 1] - regions[:, UPPER:ALL]
