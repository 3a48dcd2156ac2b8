"""What a query and a clip can do with less: witnesses by their share of a row, steps by how forged a clip looks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_iamsb import TINY, batch, proposals, system

from iamsb_core.systems.iamsb import IamsbConfig
from iamsb_core.systems.iamsb.config import WitnessConfig
from iamsb_core.systems.iamsb.witness import _witnesses
from iamsb_core.training.reconfigure import reconfigured


def quiet(probability: float) -> IamsbConfig:
    return replace(TINY, budget=replace(TINY.budget, quiet_probability=probability))


@pytest.mark.parametrize(("share", "num_kept"), [(0.4, 1), (0.6, 2), (0.85, 3), (0.99, 4), (1.0, 4)])
def test_a_query_keeps_the_fewest_witnesses_that_hold_the_share_of_its_row(share: float, num_kept: int) -> None:
    # a row of mass 0.2 in the shares 0.3, 0.5, 0.05, 0.15
    plan = 0.2 * torch.tensor([[[0.3, 0.5, 0.05, 0.15]]])
    found = _witnesses(plan.log(), WitnessConfig(num_witnesses=4, row_mass=share), torch.tensor([True]))
    assert found.index[0, 0].tolist() == [1, 0, 3, 2]
    assert found.bias[0, 0].exp().tolist() == pytest.approx([0.5, 0.3, 0.15, 0.05][:num_kept] + [0.0] * (4 - num_kept))
    assert found.mass[0, 0].item() == pytest.approx(0.2)


def test_dropped_witnesses_bear_on_nothing_and_are_not_reported() -> None:
    # one witness kept by its share is what top-1 keeps
    narrow = replace(TINY, witness=replace(TINY.witness, row_mass=1e-6))
    single = replace(TINY, witness=replace(TINY.witness, num_witnesses=1))
    given = batch()
    for one, other in zip(proposals(system(narrow), given), proposals(system(single), given), strict=True):
        assert one.fused == pytest.approx(other.fused, abs=2e-4)
        told = [query["witnesses"] for query in one.evidence["witnesses"]["audio"]]
        assert [len(witnesses) for witnesses in told] == [1] * len(told)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_of_nothing_or_more_than_all_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"row_mass must lie in \(0, 1\]"):
        replace(TINY, witness=replace(TINY.witness, row_mass=share))


def test_a_clip_that_looks_genuine_takes_its_floors_alone_and_others_all() -> None:
    given, usual = batch(silent=[1]), system()
    with torch.no_grad():
        coarse = system(replace(quiet(0.0), use_refinement=False))
        coarse.load_state_dict(usual.state_dict(), strict=False)
        said = [clip.clip_score for clip in coarse.propose(coarse(given), given)]
        between = sum(sorted(said)[:2]) / 2
        found = reconfigured(usual, {"budget": {"quiet_probability": between}})(given)
    wanted = [(4 if row != 1 else 2) if score < between else TINY.budget.num_steps for row, score in enumerate(said)]
    assert min(wanted) < TINY.budget.num_steps == max(wanted)
    assert found.step_targets == wanted
    assert [sum(steps) for steps in found.num_steps] == wanted


def test_training_never_stops_early() -> None:
    given = batch()
    made = system(quiet(1.0)).train()
    assert made(given, torch.Generator().manual_seed(0)).step_targets == [TINY.budget.num_steps] * 3
    assert max(made.eval()(given).step_targets) < TINY.budget.num_steps
