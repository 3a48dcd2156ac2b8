"""Attention that is truly local: every cell sees the cells within half a window of it, and costs no more than that.

Shapes: B clips, L cells, H heads, d width, h half a window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.attention import MASKED, attend, key_bias, merge_heads, split_heads


class LocalAttention(nn.Module):
    """Multi-head attention of query cells to the key cells within window_cells // 2; to all of the clip with None.

    Queries are worked on in blocks of h cells, which see three blocks of keys: linear in L.
    """

    def __init__(self, dim: int, num_heads: int, window_cells: int | None) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"the width must be a multiple of the heads, got {dim} and {num_heads}")
        if window_cells is not None and window_cells < 2:
            raise ValueError(f"a window has at least 2 cells, got {window_cells}; None attends to the whole clip")
        self.num_heads, self.window_cells = num_heads, window_cells
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.output = nn.Linear(dim, dim)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor) -> Tensor:
        """All (B, L, d) on the same cells, valid (B, L) of the keys -> (B, L, d)."""
        query, key, value = self.query(query), self.key(key), self.value(value)
        if self.window_cells is None:
            return self.output(self._attended(query, key, value, key_bias(valid)))  # type: ignore[no-any-return]
        return self.output(self._local(query, key, value, valid, self.window_cells // 2))  # type: ignore[no-any-return]

    def _local(self, query: Tensor, key: Tensor, value: Tensor, valid: Tensor, half: int) -> Tensor:
        num_clips, num_cells, _ = query.shape
        missing = -num_cells % half
        queries = F.pad(query, (0, 0, 0, missing)).reshape(-1, half, query.shape[-1])
        keys, values = (_three_blocks(F.pad(x, (0, 0, half, half + missing)), half) for x in (key, value))
        seen = F.pad(valid, (half, half + missing)).unfold(1, 3 * half, half).flatten(0, 1)
        bias = key_bias(seen) + _band(half, query.device)
        attended = self._attended(queries, keys, values, bias.clamp_min(MASKED))
        return attended.reshape(num_clips, -1, query.shape[-1])[:, :num_cells]

    def _attended(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (split_heads(x, self.num_heads) for x in (query, key, value))
        return merge_heads(attend(query, key, value, bias))


def _three_blocks(x: Tensor, half: int) -> Tensor:
    """(B, (n + 2) h, d) -> (B n, 3 h, d): for each block itself and both neighbours."""
    blocks = x.reshape(len(x), -1, half, x.shape[-1])
    return torch.cat([blocks[:, :-2], blocks[:, 1:-1], blocks[:, 2:]], dim=2).flatten(0, 1)


def _band(half: int, device: torch.device) -> Tensor:
    """(h, 3 h): 0 where a key is within h cells of the query, else MASKED."""
    place = torch.arange(3 * half, device=device) - half
    distance = (place - torch.arange(half, device=device)[:, None]).abs()
    return torch.where(distance <= half, 0.0, MASKED)
