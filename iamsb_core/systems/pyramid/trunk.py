"""From embedded features to levels: a stem at full resolution, a branch that halves it.

Shapes: B clips, L cells, d width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from torch import Tensor, nn

from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.blocks import TransformerBlock
from iamsb_core.systems.pyramid.layers import halved
from iamsb_core.systems.pyramid.levels import Level
from iamsb_core.systems.pyramid.top_down import TopDown


class Trunk(nn.Module):
    """Transformer blocks at full resolution, then blocks that each halve it; every level has a norm of its own."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_cells: int | None,
        *,
        num_stem_blocks: int,
        num_levels: int,
        expansion: int,
        drop_share: float,
        global_last: bool = False,
        top_down: bool = False,
    ) -> None:
        """With global_last the coarsest level sees the whole clip."""
        super().__init__()

        def block(stride: int, window: int | None) -> TransformerBlock:
            return TransformerBlock(dim, num_heads, window, expansion=expansion, stride=stride, drop_share=drop_share)

        windows = [window_cells] * (num_levels - 2) + [None if global_last else window_cells]
        self.stem = nn.ModuleList(block(1, window_cells) for _ in range(num_stem_blocks))
        self.branch = nn.ModuleList(block(2, window) for window in windows[: num_levels - 1])
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(num_levels))
        self.top_down = TopDown(dim, num_levels) if top_down else None

    def forward(self, x: Tensor, valid: Tensor, noise: Noise) -> list[Level]:
        """(B, L, d) -> the levels, finest first."""
        for block in self.stem:
            x = block(x, valid, noise)
        levels = grown(x, valid, self.branch, noise)
        normed = [
            Level(norm(level.values) * level.valid[..., None], level.valid, level.stride_cells)
            for norm, level in zip(self.norms, levels, strict=True)
        ]
        return normed if self.top_down is None else cast(list[Level], self.top_down(normed))


def grown(x: Tensor, valid: Tensor, branch: Iterable[nn.Module], noise: Noise) -> list[Level]:
    """The finest level (B, L, d), and one more from every block of the branch, each from the one before."""
    levels = [Level(x, valid, 1)]
    for block in branch:
        below = levels[-1]
        x = block(below.values, below.valid, noise)
        levels.append(Level(x, halved(below.valid), 2 * below.stride_cells))
    return levels
