"""Masked temporal-difference convolution: what a cell's neighbours have that it has not.

Shapes: B clips, L cells, C_in and C_out channels, k kernel cells.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TemporalDifferenceConv(nn.Module):
    """A convolution of which a share theta works on differences to the cell in the middle.

    central: y(t) = sum_k w_k m(t + k) (x(t + k) - theta x(t)), where m is 1 inside the clip and 0 outside: an edge
    cell has no difference to what is not there. With theta = 1 a constant gives 0 everywhere.
    telescoped: y(t) = sum_k w_k m(t + k) x(t + k) - theta (w_{+1} - w_{-1}) x(t), what the published code comes to,
    since its two differences of neighbouring weights cancel in between.
    """

    def __init__(
        self, dim_in: int, dim_out: int, *, theta: float, difference: Literal["central", "telescoped"] = "central"
    ) -> None:
        super().__init__()
        self.theta, self.difference = theta, difference
        self.weight = nn.Parameter(torch.empty(dim_out, 3, dim_in))
        self.bias = nn.Parameter(torch.zeros(dim_out))
        bound = 1.0 / math.sqrt(3 * dim_in)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (B, L, C_in), zero where not valid (B, L) -> (B, L, C_out), zero there too."""
        num_cells = x.shape[1]
        padded, seen = F.pad(x, (0, 0, 1, 1)), F.pad(valid, (1, 1))
        around = torch.stack([padded[:, k : k + num_cells] for k in range(3)], dim=2)
        if self.difference == "central":
            inside = torch.stack([seen[:, k : k + num_cells] for k in range(3)], dim=2)[..., None]
            y = F.linear(((around - self.theta * x[:, :, None]) * inside).flatten(2), self.weight.flatten(1))
        else:
            y = F.linear(around.flatten(2), self.weight.flatten(1))
            y = y - self.theta * F.linear(x, self.weight[:, 2] - self.weight[:, 0])
        return (y + self.bias) * valid[..., None]
