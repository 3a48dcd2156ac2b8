"""Padding: clips of a batch moved to its start, so that where they stood says nothing.

Shapes: B clips, L cells, D feature dim.
"""

from __future__ import annotations

import torch
from torch import Tensor


def align_left(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Move every clip (B, L, D) to the start of its padding, and zero the padding: where it stood is no evidence."""
    start = valid.to(torch.uint8).argmax(dim=1)
    if bool(start.any()):
        num_cells = values.shape[1]
        index = (torch.arange(num_cells, device=values.device) + start[:, None]) % num_cells
        values = values.gather(1, index[..., None].expand_as(values))
        valid = valid.gather(1, index)
    return values.float() * valid[..., None], valid
