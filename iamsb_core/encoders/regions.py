"""Pictures of a face as 28 x 28 blocks, and the regions of a face among them.

The crop is a square around the face, 1.6 times as wide as a face detector's box and held steady; the regions are where
the parts of a frontal face lie in it.
"""

from __future__ import annotations

import torch
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


def region_weights() -> Tensor:
    """(784, 5): column r averages the blocks of region r."""
    weights = torch.zeros(len(REGIONS), NUM_BLOCKS, NUM_BLOCKS)
    for region, rectangles in zip(weights, REGIONS.values(), strict=True):
        for rows, columns in rectangles:
            region[rows, columns] = 1.0
    flat = weights.flatten(1)
    return (flat / flat.sum(dim=1, keepdim=True)).T.contiguous()


def block_means(pictures: Tensor) -> Tensor:
    """(F, side, side) to (F, 784): the mean of each block."""
    side = pictures.shape[1] // NUM_BLOCKS
    # rows first: sums over a strided axis of whole rows run several times faster than over small squares
    rows = pictures.reshape(len(pictures), NUM_BLOCKS, side, pictures.shape[2]).sum(dim=2)
    return rows.reshape(len(pictures), NUM_BLOCKS, NUM_BLOCKS, side).sum(dim=3).flatten(1) / side**2


def against_mouth(regions: Tensor) -> Tensor:
    """(F, 5) logarithms to (F, 3): the mouth's against the upper face's, the ring's around it and the border's."""
    return regions[:, MOUTH : MOUTH + 1] - regions[:, UPPER:ALL]
