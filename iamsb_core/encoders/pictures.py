"""Operations on stacks of pictures, (F, height, width) float32 in grey levels 0 to 255."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from iamsb_core.encoders.spectra import cosine_transform

_DCT_BAND_EDGES = (1, 2, 3, 5, 7, 10, 15)
"""horizontal plus vertical order; 0 is the block's mean"""
NUM_DCT_BANDS = len(_DCT_BAND_EDGES) - 1


def halved(pictures: Tensor) -> Tensor:
    """Every 2 x 2 pixels averaged."""
    rows = pictures[:, 0::2] + pictures[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4


def laplacian(pictures: Tensor) -> Tensor:
    """Four times a pixel minus its four neighbours, the edges repeated: what a smooth picture does not have."""
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return 4 * pictures - across - padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]


def gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences across and down, zero at the edges."""
    across = F.pad((pictures[:, :, 2:] - pictures[:, :, :-2]) / 2, (1, 1))
    down = F.pad((pictures[:, 2:] - pictures[:, :-2]) / 2, (0, 0, 1, 1))
    return across, down


def before(values: Tensor) -> Tensor:
    """Row i holds row i - 1, the first is repeated."""
    return torch.cat([values[:1], values[:-1]])


def after(values: Tensor) -> Tensor:
    """Row i holds row i + 1, the last is repeated."""
    return torch.cat([values[1:], values[-1:]])


def dct_matrices() -> tuple[Tensor, Tensor]:
    """The 8 x 8 transform of flattened blocks (64, 64), and its orders averaged into bands (64, NUM_DCT_BANDS)."""
    basis = cosine_transform(8, 8)
    order = (torch.arange(8)[:, None] + torch.arange(8)).flatten()[:, None]
    low, high = torch.tensor(_DCT_BAND_EDGES[:-1]), torch.tensor(_DCT_BAND_EDGES[1:])
    bands = ((order >= low) & (order < high)).float()
    return torch.kron(basis, basis), bands / bands.sum(dim=0)


def dct_band_energies(pictures: Tensor, transform: Tensor, bands: Tensor) -> Tensor:
    """(F, height, width) to (F, blocks, NUM_DCT_BANDS): energies of the 8 x 8 blocks' coefficients."""
    num_frames, height, width = pictures.shape
    blocks = pictures.reshape(num_frames, height // 8, 8, width // 8, 8).transpose(2, 3)
    return ((blocks.reshape(-1, 64) @ transform).square() @ bands).reshape(num_frames, -1, bands.shape[1])
