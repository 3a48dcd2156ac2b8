"""The boundary-matching system: its sampling and targets by hand, its memory, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch

from iamsb_core.systems.ba_tfd_plus.config import BaTfdLossConfig, MapConfig
from iamsb_core.systems.ba_tfd_plus.losses import contrast_loss, map_loss, map_target
from iamsb_core.systems.ba_tfd_plus.maps import BoundaryMap, proposal_cells, proposals_inside, sampling_matrix

TINY = MapConfig(num_durations=20, num_samples=4, sample_dim=6, hidden_dim=16, num_heads=2)


def test_the_samples_of_a_proposal_by_hand() -> None:
    """Two cells from cell 0, samples at both ends and the middle: places 0, 1 and 2 are edges between cells, so each
    reads the mean of the cells beside it; before the first cell stands nothing.
    """
    config = MapConfig(num_durations=2, num_samples=3, extension=0.0)
    matrix, lead = sampling_matrix(config)
    cells = torch.tensor([2.0, 4.0, 8.0])
    padded = torch.cat([torch.zeros(lead), cells, torch.zeros(matrix.shape[1])])
    read = (matrix @ padded[: matrix.shape[1]]).view(2, 3)
    assert read[1].tolist() == [1.0, 3.0, 6.0]
    assert read[0].tolist() == [1.0, 2.0, 3.0]


def test_the_layer_grows_with_the_clip_and_not_with_its_square() -> None:
    made = BoundaryMap(16, TINY)
    assert made.matrix.numel() < 20 * 4 * 40
    short, long = (made(torch.zeros(1, cells, 16), torch.ones(1, cells, dtype=torch.bool)) for cells in (30, 300))
    assert long.numel() == 10 * short.numel()


def test_targets_by_hand() -> None:
    """A segment of cells 1 to 3 of 4: the proposal from 1 of two cells fits it, that from 1 of one cell by half."""
    cells = proposal_cells(4, 3, torch.device("cpu"))
    target = map_target(cells, (torch.tensor([[0.25, 0.75]]), torch.zeros(0, 2)), torch.tensor([4.0, 4.0]))
    assert target[0, 1].tolist() == pytest.approx([0.5, 1.0, 2 / 3])
    assert target[0, 3].tolist() == [0.0, 0.0, 0.0]
    assert not target[1].any()


def test_proposals_end_inside_their_clip() -> None:
    valid = torch.tensor([[True, True, False]])
    assert proposals_inside(valid, 2)[0].tolist() == [[True, True], [True, False], [False, False]]


def test_losses_by_hand() -> None:
    inside, target = torch.tensor([[[True, True]]]), torch.tensor([[[1.0, 0.0]]])
    logits = torch.zeros(1, 3, 1, 2)
    assert map_loss(logits, target, inside, 1.0).item() == pytest.approx(0.25)
    assert map_loss(logits + 9.0, target, inside, 3.0).item() == pytest.approx(0.25, abs=1e-3)
    a, b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.8, 0.6]]])
    far = math.sqrt(0.2**2 + 0.6**2)
    here = torch.ones(1, 1, dtype=torch.bool)
    genuine = contrast_loss(a, b, ~here, here, BaTfdLossConfig())
    forged = contrast_loss(a, b, here, here, BaTfdLossConfig())
    assert genuine.item() == pytest.approx(far**2)
    assert forged.item() == pytest.approx((0.99 - far) ** 2)
