"""The R-TLM block: a recurrent pass over the clip, then attention within windows and a feed-forward.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.blocks import TransformerBlock


class Recurrence(nn.Module):
    """A bidirectional LSTM over each clip's own cells: the way back starts at the clip's end, not at the padding's.

    Both ways are plain LSTMs, the second over clips turned around: packed sequences take ten times as long on a CPU.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.ways = nn.ModuleList(nn.LSTM(dim, dim // 2, batch_first=True) for _ in range(2))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """(B, L, d), valid (B, L) -> (B, L, d). In float32, since not every device has it in less."""
        onward, backward = self.ways
        with torch.autocast(x.device.type, enabled=False):
            normed = self.norm(x.float())
            read = [onward(normed)[0], turned(backward(turned(normed, valid))[0], valid)]
        return torch.cat(read, dim=-1) * valid[..., None]


def turned(x: Tensor, valid: Tensor) -> Tensor:
    """(B, L, C) with every clip's own cells in the opposite order; the padding after them stays where it is."""
    place = torch.arange(x.shape[1], device=x.device)
    index = torch.where(valid, valid.sum(dim=1, keepdim=True) - 1 - place, place)
    return x.gather(1, index[..., None].expand_as(x))


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
