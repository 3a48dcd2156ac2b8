"""The R-TLM block: a recurrent pass over the clip, then attention within windows and a feed-forward.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.blocks import TransformerBlock


class Recurrence(nn.Module):
    """A bidirectional LSTM over each clip's own cells: the way back starts at the clip's end, not at the padding's."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.lstm = nn.LSTM(dim, dim // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, d), valid (B, L) -> (B, L, d). In float32, since not every device has it in less."""
        lengths = valid.sum(dim=1).clamp_min(1).cpu()
        with torch.autocast(x.device.type, enabled=False):
            packed = pack_padded_sequence(self.norm(x.float()), lengths, batch_first=True, enforce_sorted=False)
            read, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])
        return read * valid[..., None]


class RecurrentBlock(nn.Module):
    """The recurrence as a residual (unless switched off), then a transformer block that may halve the level."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_cells: int | None,
        *,
        recurrent: bool,
        expansion: int,
        stride: int,
        drop_share: float,
    ) -> None:
        super().__init__()
        self.drop_share = drop_share
        self.recurrence = Recurrence(dim) if recurrent else None
        self.transformer = TransformerBlock(
            dim, num_heads, window_cells, expansion=expansion, stride=stride, drop_share=drop_share
        )

    def forward(self, x: Tensor, valid: Tensor, noise: Noise) -> Tensor:
        """x (B, L, d), valid (B, L) -> (B, ceil(L / stride), d)."""
        if self.recurrence is not None:
            x = x + self.recurrence(x, valid) * noise.keep((len(x), 1, 1), self.drop_share, x)
        return self.transformer(x, valid, noise)  # type: ignore[no-any-return]
