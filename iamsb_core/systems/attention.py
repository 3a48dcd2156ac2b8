"""Scaled dot-product attention with heads apart and keys that may be hidden.

Shapes: B clips, N queries, L cells, H heads, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MASKED = -1e4
"""bias of a key that must not be seen: exp of it is 0, yet a row of nothing else stays finite"""


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, N, d) -> (B, H, N, d / H)."""
    return x.reshape(*x.shape[:-1], num_heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, N, d / H) -> (B, N, d)."""
    return x.transpose(1, 2).flatten(-2)


def key_bias(valid: Tensor) -> Tensor:
    """(B, L) bool -> (B, 1, 1, L) float: 0 where a key may be seen."""
    return torch.where(valid, 0.0, MASKED)[:, None, None, :]


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Scaled dot-product attention with an additive bias that broadcasts to (B, H, N, L)."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
