"""Operations on stacks of pictures, (F, height, width) float32 in grey levels 0 to 255.

On a processor some of them are OpenCV's, which takes a pixel and its neighbours in one go where PyTorch would go
through the memory once for each; luma, halves and colours are the same bits either way. Large planes are written where
the caller says: a fresh one costs the system a fresh page for every 4 KiB, more time than the arithmetic takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_LAPLACIAN = np.asarray([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], dtype=np.float32)
_SUM = np.ones((1, 3), dtype=np.float32)


class Planes:
    """Memory for planes by name, used again by whoever asks for the name again."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._flat: dict[str, Tensor] = {}
        self._made: dict[tuple[str, tuple[int, ...]], Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """A float32 plane of this shape, with whatever is in it; a name's first shape must be its largest."""
        plane = self._made.get((name, shape))
        if plane is None:
            size = math.prod(shape)
            flat = self._flat.setdefault(name, torch.empty(size, device=self._device))
            plane = self._made[name, shape] = flat[:size].view(shape)
        return plane


def luma(colours: Tensor, planes: Planes) -> Tensor:
    """(F, height, width, 3) to (F, height, width)."""
    num_frames, height, width, _ = colours.shape
    found = planes("luma", num_frames, height, width)
    if colours.device.type != "cpu":
        return torch.matmul(colours, torch.tensor(_LUMA, device=colours.device), out=found)
    weighted = planes("weighted", num_frames, height, width * 3)
    torch.mul(colours.flatten(2), _luma_weights(width), out=weighted)
    cv2.transform(weighted.view(-1, width, 3).numpy(), _SUM, dst=found.view(-1, width).numpy())
    return found


@cache
def _luma_weights(width: int) -> Tensor:
    """(width * 3,): the weights of a row of pixels' colours."""
    return torch.tensor(_LUMA).repeat(width)


def halved(pictures: Tensor, planes: Planes) -> Tensor:
    """Every 2 x 2 pixels averaged."""
    num_frames, height, width = pictures.shape
    rows = planes(f"rows of {height}", num_frames, height // 2, width)
    torch.add(pictures[:, 0::2], pictures[:, 1::2], out=rows)
    if pictures.device.type != "cpu":
        return (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4
    even, odd = cv2.split(rows.view(-1, width // 2, 2).numpy())
    return torch.from_numpy(cv2.add(even, odd, dst=even)).view(num_frames, height // 2, -1).div_(4)


def laplacian(pictures: Tensor, out: Tensor | None = None) -> Tensor:
    """Four times a pixel minus its four neighbours, the edges repeated: what a smooth picture does not have."""
    found = torch.empty_like(pictures) if out is None else out
    if pictures.device.type == "cpu":
        for picture, to in zip(pictures.numpy(), found.numpy(), strict=True):
            cv2.filter2D(picture, -1, _LAPLACIAN, dst=to, borderType=cv2.BORDER_REPLICATE)
        return found
    padded = F.pad(pictures[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return torch.sub(4 * pictures - across - padded[:, :-2, 1:-1], padded[:, 2:, 1:-1], out=found)


def block_colours(colours: Tensor, num_blocks: int) -> Tensor:
    """(F, side, side, 3) to (F, num_blocks^2, 3): the mean of each block."""
    num_frames, side = colours.shape[:2]
    width = side // num_blocks
    rows = colours.reshape(num_frames, num_blocks, width, side * 3).sum(dim=2)
    if colours.device.type != "cpu":
        return rows.reshape(num_frames, num_blocks, num_blocks, width, 3).sum(dim=3).flatten(1, 2) / width**2
    size = (num_blocks, num_frames * num_blocks)
    means = cv2.resize(rows.view(-1, side, 3).numpy(), size, interpolation=cv2.INTER_AREA)
    return torch.from_numpy(means).view(num_frames, -1, 3).div_(width)


def gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences across and down, zero at the edges."""
    across = F.pad((pictures[:, :, 2:] - pictures[:, :, :-2]) / 2, (1, 1))
    down = F.pad((pictures[:, 2:] - pictures[:, :-2]) / 2, (0, 0, 1, 1))
    return across, down


def with_previous(
    operation: Callable[..., Tensor], pictures: Tensor, previous: Tensor | None, out: Tensor | None = None
) -> Tensor:
    """operation(picture, the one before it) of each; previous: (1, ...), the one before the first, itself if None."""
    found = torch.empty_like(pictures) if out is None else out
    operation(pictures[1:], pictures[:-1], out=found[1:])
    operation(pictures[:1], pictures[:1] if previous is None else previous, out=found[:1])
    return found


def before(values: Tensor) -> Tensor:
    """Row i holds row i - 1, the first is repeated."""
    return torch.cat([values[:1], values[:-1]])


def after(values: Tensor) -> Tensor:
    """Row i holds row i + 1, the last is repeated."""
    return torch.cat([values[1:], values[-1:]])
