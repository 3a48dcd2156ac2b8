"""Attention between, across and within sequences, each gated by what it attended from (arXiv 2408.01532).

Nothing is scaled and nothing is projected, as in the published code. Shapes: B clips, J cells, d width, K modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor

from iamsb_core.systems.attention import MASKED
from iamsb_core.systems.mmms_ba.config import SequenceName

PAIRS: tuple[tuple[SequenceName, SequenceName], ...] = (("face", "lips"), ("lips", "audio"), ("audio", "face"))
"""V-L, L-A and A-V, in the paper's order"""


def gated(x: Tensor, y: Tensor, seen: Tensor) -> Tensor:
    """What x (B, J, d) finds in the cells of y (B, J, d) that are seen (B, J), times x: softmax(x y^T) y * x."""
    matching = (x @ y.mT).masked_fill(~seen[:, None], MASKED)
    return matching.softmax(dim=-1) @ y * x


def bimodal(sequences: Mapping[SequenceName, Tensor], seen: Mapping[SequenceName, Tensor]) -> list[Tensor]:
    """MMMS-BA: for every pair of modalities, each side's find in the other; zero where either is missing."""
    found = []
    for first, second in PAIRS:
        if first in sequences and second in sequences:
            both = (seen[first].any(dim=1) & seen[second].any(dim=1))[:, None, None]
            found.append(gated(sequences[first], sequences[second], seen[second]) * both)
            found.append(gated(sequences[second], sequences[first], seen[first]) * both)
    return found


def across(sequences: Mapping[SequenceName, Tensor], seen: Mapping[SequenceName, Tensor]) -> list[Tensor]:
    """MMUS-SA: in each cell, every modality's find in all that are there."""
    stacked = torch.stack(list(sequences.values()), dim=2)
    here = torch.stack(list(seen.values()), dim=2)
    matching = (stacked @ stacked.mT).masked_fill(~here[:, :, None], MASKED)
    return list(((matching.softmax(dim=-1) @ stacked) * stacked).unbind(dim=2))


def within(sequences: Mapping[SequenceName, Tensor], seen: Mapping[SequenceName, Tensor]) -> list[Tensor]:
    """MS-SA: every modality's find in itself."""
    return [gated(x, x, seen[name]) for name, x in sequences.items()]


def num_found(mode: str, names: tuple[SequenceName, ...]) -> int:
    """How many tensors of width d the mode gives for these modalities."""
    return 2 * len(list(combinations(names, 2))) if mode == "mmms-ba" else len(names)
