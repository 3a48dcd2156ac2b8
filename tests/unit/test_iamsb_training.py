"""IaMSB in training: ablated or whole, in short precision, with streams missing, and as its generator says."""

from __future__ import annotations

import pytest
import torch
from batches import chosen
from tiny_iamsb import TINY, batch, proposals, system

from iamsb_core.systems.iamsb import ablations


@pytest.mark.parametrize("name", sorted(ablations(TINY)))
def test_every_ablation_runs_trains_and_proposes(name: str) -> None:
    made, given = system(ablations(TINY)[name]).train(), batch()
    losses = made.losses(made(given, torch.Generator().manual_seed(0)), given)
    losses["total"].backward()
    assert bool(torch.isfinite(losses["total"]))
    assert ("rank" in losses) == made.config.use_witness
    made.eval()
    clip = proposals(made, given)[0]
    assert len(clip.audio) == TINY.coarse.num_queries
    budget = clip.evidence["step_budget"]
    assert sum(budget.values()) == (8 if made.config.use_refinement else 0)
    if made.config.use_refinement and not made.config.use_witness:
        assert budget["audio"] == budget["visual"]


def test_a_clip_of_one_stream_does_not_weigh_on_how_the_others_share_their_budgets() -> None:
    made, given = system(), batch((2.0, 1.2, 1.6, 1.4), silent=(2,), blind=(3,))
    with torch.no_grad():
        found, expected = (
            made.losses(made(clips), clips)["step_value"].item() for clips in (given, chosen(given, [0, 1]))
        )
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("silent", [(0, 2), (0, 1, 2, 3)])
def test_training_with_missing_streams_gives_finite_gradients(silent: tuple[int, ...]) -> None:
    made, given = system().train(), batch((2.0, 1.2, 3.0, 1.0), silent=silent, blind=(1, 2))
    losses = made.losses(made(given, torch.Generator().manual_seed(0)), given)
    losses["total"].backward()
    gradients = [parameter.grad for parameter in made.parameters() if parameter.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)


def test_training_is_a_function_of_the_generator_and_evaluation_has_no_randomness() -> None:
    made, given = system().train(), batch()

    def total(seed: int) -> float:
        return made.losses(made(given, torch.Generator().manual_seed(seed)), given)["total"].item()

    assert total(3) == total(3)
    assert total(3) != total(4)
    made.eval()
    with torch.no_grad():
        assert torch.equal(made(given).audio.coarse.logits, made(given, torch.Generator()).audio.coarse.logits)


def test_bfloat16_autocast_keeps_segments_and_coupling_in_float32() -> None:
    made, given = system().train(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = made(given, torch.Generator().manual_seed(0))
        losses = made.losses(outputs, given)
    losses["total"].backward()
    assert outputs.witness is not None
    assert outputs.audio.coarse.segments.dtype == outputs.witness.statistics.dtype == torch.float32
    assert losses["total"].dtype == torch.float32
    assert bool(torch.isfinite(losses["total"]))
