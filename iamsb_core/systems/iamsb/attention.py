"""Attention whose keys and values are made once and shared, and windowed attention of linear cost.

Shapes: B clips, N queries, L cells, H heads, d width, w window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.attention import attend, key_bias, merge_heads, split_heads


class SharedMemoryAttention(nn.Module):
    """MHA(Z, F, F) over keys and values that were projected once for the clip."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, z: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """z (B, N, d), key and value (B, H, L, d / H) -> (B, N, d)."""
        attended = attend(split_heads(self.query(z), self.num_heads), key, value, bias)
        return self.output(merge_heads(attended))  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Attention among the queries of one clip; positions enter queries and keys, not values."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key = nn.Linear(dim, 2 * dim)
        self.value = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def forward(self, z: Tensor, position: Tensor, bias: Tensor) -> Tensor:
        """(B, N, d) -> (B, N, d)."""
        query, key = (split_heads(x, self.num_heads) for x in self.query_key(z + position).chunk(2, dim=-1))
        attended = attend(query, key, split_heads(self.value(z), self.num_heads), bias)
        return self.output(merge_heads(attended))  # type: ignore[no-any-return]


class WitnessAttention(nn.Module):
    """R_wit[n] = MHA(U[n], P[n], P[n]): every query attends to its own k witnesses, with log Pi as a bias."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key_value = nn.Linear(dim, 2 * dim)
        self.query = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, dim)

    def gather(self, latents: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, N, H, k, d / H) of witnesses `index` (B, N, k) among latents (B, M, d)."""
        rows = torch.arange(len(latents), device=latents.device)[:, None, None] * latents.shape[1] + index
        projected = self.key_value(latents).flatten(0, 1)[rows.flatten()].view(*index.shape, -1)
        key, value = projected.unflatten(-1, (2 * self.num_heads, -1)).transpose(2, 3).chunk(2, dim=2)
        return key, value

    def forward(self, u: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """u (B, N, d), bias (B, N, k) -> (B, N, d)."""
        query = self.query(u).unflatten(-1, (self.num_heads, 1, -1))
        logits = (query * key).sum(dim=-1) * key.shape[-1] ** -0.5 + bias[:, :, None, :]
        weights = logits.float().softmax(dim=-1).to(value.dtype)
        return self.output((weights[..., None] * value).sum(dim=-2).flatten(-2))  # type: ignore[no-any-return]


class WindowedAttention(nn.Module):
    """Each block of w cells attends to itself and half a block on either side, nearer cells first.

    Which side a cell is on is the convolution's to say; a bias of -distance / w is all that attention knows of place.
    """

    def __init__(self, dim: int, num_heads: int, window_cells: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window_cells
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)
        distance = torch.arange(2 * window_cells) - window_cells // 2 - torch.arange(window_cells)[:, None]
        self.register_buffer("nearness", -distance.abs() / window_cells, persistent=False)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (B, L, d), valid (B, L) -> (B, L, d); blocks are counted from cell 0."""
        num_clips, num_cells, dim = x.shape
        half, padding = self.window // 2, -num_cells % self.window
        wide = F.pad(self.query_key_value(x), (0, 0, half, half + padding))
        wide = wide.view(num_clips, -1, 3, self.num_heads, dim // self.num_heads)
        query = self._blocks(wide[:, half : half + num_cells + padding, 0]).transpose(1, 2)
        key, value = self._spans(wide[:, :, 1:]).unbind(2)
        seen = F.pad(valid, (half, half + padding)).unfold(1, 2 * self.window, self.window).flatten(0, 1)
        bias = key_bias(seen) + self.get_buffer("nearness")
        attended = attend(query, key.transpose(1, 2), value.transpose(1, 2), bias)
        return self.output(attended.transpose(1, 2).reshape(num_clips, -1, dim)[:, :num_cells])  # type: ignore[no-any-return]

    def _blocks(self, x: Tensor) -> Tensor:
        """(B, n w, ...) -> (B n, w, ...)."""
        return x.reshape(-1, self.window, *x.shape[2:])

    def _spans(self, x: Tensor) -> Tensor:
        """(B, (n + 1) w, ...) -> (B n, 2 w, ...): two blocks for each, one block apart."""
        return torch.cat([self._blocks(x[:, : -self.window]), self._blocks(x[:, self.window :])], dim=1)
