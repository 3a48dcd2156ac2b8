"""WavLM's attention through PyTorch's fused kernels: the same rows but for rounding, without a table of weights.

transformers asks PyTorch for the attention weights of every head and throws them away, for which each layer writes and
reads a table of (heads, rows, rows) several times. Here only WavLM's gated position bias is such a table.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def fuse_attention(model: Any) -> Any:
    """The same WavLM (transformers' `WavLMModel`), whose layers attend with fused kernels from now on."""
    for layer in model.encoder.layers:
        layer.attention.torch_multi_head_self_attention = MethodType(_attend, layer.attention)
    return model


def _attend(
    attention: Any, hidden_states: Tensor, attention_mask: Tensor | None, gated_position_bias: Tensor
) -> tuple[Tensor, None]:
    """In the place of `WavLMAttention.torch_multi_head_self_attention`, of the same arguments.

    hidden_states: (B, rows, dim); attention_mask: (B, rows), not 1 where a row is padding; gated_position_bias:
    (B * heads, rows, rows). Returns (B, rows, dim) and no weights.
    """
    num_clips, num_rows, _ = hidden_states.shape
    by_head = (num_clips, num_rows, attention.num_heads, -1)
    query, key, value = (
        projection(hidden_states).view(by_head).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    bias = gated_position_bias.view(num_clips, attention.num_heads, num_rows, num_rows)
    if attention_mask is not None:
        bias = bias.masked_fill(attention_mask.ne(1)[:, None, None], float("-inf"))
    dropout = attention.dropout if attention.training else 0.0
    attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
    return attention.out_proj(attended.transpose(1, 2).reshape(num_clips, num_rows, -1)), None
