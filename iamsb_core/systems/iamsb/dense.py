"""The dense head (ours): what every cell says of itself, and the seeds that the coarse bridge takes from it.

Learned queries alone converge slowly; a cell inside a forgery can say so, and how far its ends are.
Shapes: B clips, L cells, d width, Q seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from iamsb_core.systems.sampling import sample_cells
from iamsb_core.systems.segments import pairwise_tiou, proper

_DISTANCE_UNIT_CELLS = 8.0
_MIN_LENGTH_CELLS = 1.0
_PRIOR_LOGIT = -2.0


@dataclass(frozen=True)
class DenseOutputs:
    """One stream's cells."""

    forged_logits: Tensor
    """(B, L)"""
    start_logits: Tensor
    """(B, L): a forgery starts here"""
    end_logits: Tensor
    segments: Tensor
    """(B, L, 2): the segment that the cell believes to lie in, shares"""
    valid: Tensor
    length_cells: Tensor
    """(B,)"""

    @property
    def centres(self) -> Tensor:
        """(B, L) cells' centres, shares."""
        return cell_centres(self.valid, self.length_cells)


def cell_centres(valid: Tensor, length_cells: Tensor) -> Tensor:
    """(B, L) shares."""
    return (torch.arange(valid.shape[1], device=valid.device) + 0.5) / length_cells[:, None]


class DenseHead(nn.Module):
    """Forged probability, boundary probabilities, and distances to both ends, of every cell."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.output = nn.Linear(dim, 5)
        with torch.no_grad():
            self.output.bias.copy_(torch.tensor([_PRIOR_LOGIT] * 3 + [0.54] * 2))

    def forward(self, cells: Tensor, valid: Tensor, length_cells: Tensor) -> DenseOutputs:
        """cells (B, L, d)."""
        raw = self.output(nn.functional.gelu(self.hidden(cells))).float()
        distances = nn.functional.softplus(raw[..., 3:]) * _DISTANCE_UNIT_CELLS / length_cells[:, None, None]
        centres = cell_centres(valid, length_cells)
        segments = torch.stack([centres - distances[..., 0], centres + distances[..., 1]], dim=-1)
        minimum = (_MIN_LENGTH_CELLS / length_cells)[:, None]
        return DenseOutputs(raw[..., 0], raw[..., 1], raw[..., 2], proper(segments, minimum), valid, length_cells)


@torch.no_grad()
def seeds(dense: DenseOutputs, num_seeds: int, sigma: float) -> Tensor:
    """(B, Q) cells by falling score, each pick decaying the cells whose segments it overlaps; linear in L.

    A clip with fewer cells than seeds repeats one.
    """
    scores = torch.where(dense.valid, dense.forged_logits.sigmoid(), -2.0)
    rows = torch.arange(len(scores), device=scores.device)
    picks = []
    for _ in range(num_seeds):
        best = scores.argmax(dim=1)
        picks.append(best)
        overlap = pairwise_tiou(dense.segments, dense.segments[rows, best][:, None])[..., 0]
        scores = torch.where(scores > 0.0, scores * torch.exp(-overlap.square() / sigma), scores)
        scores[rows, best] = -1.0
    return torch.stack(picks, dim=1)


_EDGE_CELLS = 5
"""a boundary probability counts for a segment end this near, centred"""


def segment_evidence(dense: DenseOutputs, segments: Tensor) -> tuple[Tensor, Tensor]:
    """What the cells say of segments (B, N, 2): their mean inside, and that of the two ends; (B, N) each in [0, 1].

    The ends' is the geometric mean of the largest boundary probability near each.
    """
    cells, num_cells = segments * dense.length_cells[:, None, None], dense.valid.sum(dim=1)
    summed = nn.functional.pad((dense.forged_logits.sigmoid() * dense.valid).cumsum(dim=1), (1, 0))
    # edge i of the cells is the centre of entry i of their running sum
    first, last = (_between(summed, cells[..., side] + 0.5, num_cells + 1) for side in (0, 1))
    inside = (last - first) / (cells[..., 1] - cells[..., 0]).clamp_min(_MIN_LENGTH_CELLS)
    start, end = (
        _between(_near(logits, dense.valid), cells[..., side], num_cells)
        for side, logits in enumerate((dense.start_logits, dense.end_logits))
    )
    return inside.clamp(0.0, 1.0), (start * end).sqrt()


def pooled_scores(confidence: Tensor, dense: DenseOutputs, segments: Tensor, weight: float) -> Tensor:
    """(B, N) in [0, 1]: queries' confidences and the cells' evidence in one log-linear pool (Genest and Zidek 1986).

    confidence ** (1 - weight) * evidence ** weight; weight 0 leaves the confidence alone.
    """
    if not weight:
        return confidence
    inside, edges = segment_evidence(dense, segments)
    return confidence ** (1.0 - weight) * (inside * edges) ** weight


def _between(values: Tensor, positions: Tensor, num_cells: Tensor) -> Tensor:
    """(B, L) read linearly at (B, N): a score must not jump where a boundary crosses a cell's edge."""
    return sample_cells(values[..., None], positions, num_cells)[..., 0]


def _near(logits: Tensor, valid: Tensor) -> Tensor:
    """(B, L): the largest probability within a few cells."""
    probability = logits.sigmoid() * valid
    return nn.functional.max_pool1d(probability[:, None], _EDGE_CELLS, stride=1, padding=_EDGE_CELLS // 2)[:, 0]
