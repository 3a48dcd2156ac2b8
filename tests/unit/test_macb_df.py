"""MACB-DF: its formulas by hand, its laws, and that it learns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from batches import shifted_batch
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.cells import Cells, covered, joint_grid
from iamsb_core.systems.macb_df import MacbConfig, MacbDf
from iamsb_core.systems.macb_df.clusters import Clusters, FusionWeights
from iamsb_core.systems.macb_df.config import (
    ClusterConfig,
    KernelConfig,
    MacbLossConfig,
    ParetoConfig,
    TemperatureConfig,
)
from iamsb_core.systems.macb_df.contrast import AdaptiveTemperature, contrastive_loss
from iamsb_core.systems.macb_df.large_kernel import TemporalKernel
from iamsb_core.systems.macb_df.pareto import combine, pareto_weight

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04),
)
TINY = MacbConfig(
    dim=16,
    num_heads=2,
    num_stages=2,
    num_bands=4,
    window_cells=8,
    kernels=(KernelConfig(local=3, dilated=3, dilation=2),),
    embedding_dim=8,
    feature_masking=0.0,
    dropout=0.0,
)


def vector(*numbers: float) -> list[torch.Tensor]:
    return [torch.tensor(numbers)]


# --- gradients


def test_gradients_that_agree_are_added() -> None:
    found, cosine = combine(vector(1.0, 0.0), vector(1.0, 1.0), ParetoConfig())
    assert found[0].tolist() == [2.0, 1.0]
    assert cosine == pytest.approx(math.sqrt(0.5))


def test_gradients_in_conflict_by_hand() -> None:
    """m = (1, 0), u = (-1, 1), cosine -1/sqrt(2): both lose all of their part along the other (4 x .707 > 1).

    m - (m.u / u.u) u = (1, 0) + (-1, 1)/2 = (1/2, 1/2); u - (u.m / m.m) m = (0, 1). The shortest vector between them:
    d = (1/2, -1/2), w = -(d . second) / d.d = (1/2) / (1/2) = 1, so it is (1/2, 1/2), stretched to sqrt(1 + 2).
    """
    found, cosine = combine(vector(1.0, 0.0), vector(-1.0, 1.0), ParetoConfig())
    assert cosine == pytest.approx(-math.sqrt(0.5))
    assert found[0].tolist() == pytest.approx([math.sqrt(1.5)] * 2)


def test_without_the_module_gradients_are_added_and_the_angle_is_told() -> None:
    found, cosine = combine(vector(1.0, 0.0), vector(-1.0, 1.0), ParetoConfig(enabled=False))
    assert found[0].tolist() == [0.0, 1.0]
    assert cosine < 0


numbers = st.lists(st.floats(-3, 3, allow_nan=False, width=32), min_size=4, max_size=4)


@settings(deadline=None, max_examples=80)
@given(numbers, numbers)
def test_the_combined_gradient_opposes_neither(first: list[float], second: list[float]) -> None:
    m, u = vector(*first), vector(*second)
    found, cosine = combine(m, u, ParetoConfig(orthogonality=1e6))
    if min(m[0].norm(), u[0].norm()) < 1e-2 or cosine < -0.999:
        return  # no direction, or none that serves both
    for one in (m, u):
        assert float(found[0] @ one[0]) >= -1e-3 * float(found[0].norm() * one[0].norm())


@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_the_pareto_weight_gives_the_shortest_vector(first: list[float], second: list[float]) -> None:
    a, b = vector(*first), vector(*second)
    best = pareto_weight(a, b)

    def length(weight: float) -> float:
        return float((weight * a[0] + (1 - weight) * b[0]).norm())

    assert all(length(best) <= length(other) + 1e-4 for other in np.linspace(0, 1, 21))


# --- temperature and contrast


def test_the_temperature_starts_at_its_initial_value_and_stays_in_its_bounds() -> None:
    made = AdaptiveTemperature(TemperatureConfig())
    assert made(torch.tensor(0.1)).item() == pytest.approx(0.07, abs=1e-6)
    with torch.no_grad():
        made.output.bias.fill_(50.0)
    assert made(torch.tensor(0.1)).item() == pytest.approx(0.5, abs=1e-6)


def test_the_posterior_of_the_variance_by_hand() -> None:
    """Prior count 2 and mean .05, kept to .98; 8 similarities of variance .1 add 4 to the count and .4 to the scale."""
    made = AdaptiveTemperature(TemperatureConfig())
    made.observe(torch.tensor(0.1), 8, torch.tensor(1.0))
    assert float(made.posterior_variance) == pytest.approx((0.98 * 0.1 + 0.4) / (0.98 * 2 + 4))
    assert float(made.gradient) == pytest.approx(0.98 * 0.5 + 0.02)


def test_a_fixed_temperature_ignores_the_batch() -> None:
    made = AdaptiveTemperature(TemperatureConfig(adaptive=False))
    made.observe(torch.tensor(9.0), 8, torch.tensor(1.0))
    assert made(torch.tensor(9.0)).item() == pytest.approx(0.07)


def test_the_contrastive_loss_by_hand() -> None:
    """Two genuine clips whose embeddings match exactly and are orthogonal: -log(e^(1/t) / (e^(1/t) + 1)) each way."""
    made, eye = AdaptiveTemperature(TemperatureConfig(adaptive=False, initial=0.4)), torch.eye(2)
    loss, at = contrastive_loss(eye, eye, torch.tensor([True, True]), made, learn=False)
    assert float(at) == pytest.approx(0.4)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2.5)))
    forged, _ = contrastive_loss(eye, eye, torch.tensor([False, False]), made, learn=False)
    assert float(forged) == pytest.approx(math.log(1 + math.exp(2.5)))


def test_one_clip_has_nothing_to_be_compared_with() -> None:
    one = torch.ones(1, 1, requires_grad=True)
    loss, _ = contrastive_loss(one, one, torch.tensor([True]), AdaptiveTemperature(TemperatureConfig()), learn=True)
    loss.backward()
    assert loss.item() == 0.0


# --- clusters


def test_distances_by_hand() -> None:
    """One dimension apart by 1 with variance 3 (+.001), the other equal with the same: sqrt(mean(1/3, 0)); cosine 0."""
    made = Clusters(2, ClusterConfig())
    made.centres[:] = torch.tensor([1.0, 0.0])
    made.variances[:] = 3.0 - 1e-3
    found = made.distances(torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]))
    assert found[0, 0].tolist() == pytest.approx([0.5 * math.sqrt(1e-6)] * 2, abs=1e-4)
    assert found[0, 1].tolist() == pytest.approx([0.5 * math.sqrt(1 / 6) + 0.5] * 2, abs=1e-4)


def test_the_first_batch_sets_the_centres_and_later_ones_move_them() -> None:
    made = Clusters(1, ClusterConfig(momentum=0.75))
    forged, present = torch.zeros(2, 2, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    made.observe(torch.tensor([[[1.0], [1.0]], [[3.0], [1.0]]]), forged, present)
    assert made.centres[0, 0].item() == 2.0
    assert made.variances[0, 0].item() == 1.0
    made.observe(torch.full((2, 2, 1), 6.0), forged, present)
    assert made.centres[0, 0].item() == 3.0
    assert made.centres[0, 1].item() == 0.0  # nothing forged has come by


@pytest.mark.parametrize("adaptive", [True, False])
def test_fusion_weights_are_shared_by_the_streams_that_are_there(adaptive: bool) -> None:
    torch.manual_seed(0)
    made = FusionWeights(ClusterConfig(adaptive_weights=adaptive))
    torch.nn.init.normal_(made.score.weight)
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False]])
    found = made(torch.rand(4, 2, 2), present)
    assert torch.isfinite(found).all()
    assert found.sum(dim=1).tolist() == pytest.approx([1, 1, 1, 0])
    assert not found[~present].any()
    if not adaptive:
        assert found[0].tolist() == [0.5, 0.5]


# --- grids, kernels, targets


def test_a_large_kernel_reaches_as_far_as_it_says() -> None:
    config = KernelConfig(local=3, dilated=3, dilation=2)  # 3 + (3 - 1) * 2 = 7 cells
    kernel = TemporalKernel(1, config)
    valid, x = torch.ones(1, 21, dtype=torch.bool), torch.zeros(1, 21, 1)
    rest = kernel(x, valid)
    x[0, 10] = 1.0
    moved = (kernel(x, valid) - rest).abs()[0, :, 0] > 1e-9
    assert moved.nonzero().flatten().tolist() == list(range(7, 14))


def test_the_joint_grid_reads_between_the_cells_of_a_finer_one() -> None:
    fine = Cells(torch.arange(6.0).reshape(1, 6, 1), torch.ones(1, 6, dtype=torch.bool), 0.02)
    joint = joint_grid(torch.tensor([0.12]), 0.04, 1)
    assert fine.at(joint)[0, :, 0].tolist() == pytest.approx([0.5, 2.5, 4.5])


def test_a_cell_is_forged_where_its_centre_is() -> None:
    assert covered((torch.tensor([[0.3, 0.7]]),), 5, torch.tensor([5.0]))[0].tolist() == [0, 1, 1, 0, 0]


# --- the system


def test_it_overfits_one_batch_and_its_cosines_are_told() -> None:
    torch.manual_seed(0)
    batch, made = shifted_batch(STREAMS), MacbDf(TINY, STREAMS)
    made.fit_normalisation([batch])
    optimizer = torch.optim.AdamW(made.parameters(), lr=1e-2)
    for _ in range(60):
        losses = made.losses(made(batch, torch.Generator().manual_seed(0)), batch)
        optimizer.zero_grad()
        cosines = made.backward(losses)
        optimizer.step()
    assert set(cosines) == {"gradient_cosine_audio", "gradient_cosine_visual"}
    assert all(-1.0 <= cosine <= 1.0 for cosine in cosines.values())
    with torch.no_grad():
        found = made.eval().propose(made(batch), batch)
    for row, clip in enumerate(found):
        forged = row % 3
        assert (clip.clip_score > 0.5) == bool(forged)
        if forged:
            best = (clip.audio if forged == 1 else clip.visual)[0]
            assert best[:2].tolist() == pytest.approx([0.6, 1.2], abs=0.08)


def test_without_conflict_its_gradient_is_that_of_the_total() -> None:
    torch.manual_seed(0)
    batch = shifted_batch(STREAMS)
    config = MacbConfig(**{**TINY.__dict__, "pareto": ParetoConfig(enabled=False), "loss": MacbLossConfig()})
    gradients = []
    for own in (True, False):
        torch.manual_seed(1)
        made = MacbDf(config, STREAMS)
        losses = made.losses(made(batch), batch)
        if own:
            made.backward(losses)
        else:
            losses["total"].backward()
        gradients.append({name: weight.grad for name, weight in made.named_parameters()})
    for name, expected in gradients[1].items():
        found = gradients[0][name]
        assert found is not None
        torch.testing.assert_close(found, torch.zeros_like(found) if expected is None else expected)
