"""What the ablations change of IaMSB, which of them need a training of their own, and how scores are pooled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from batches import GENUINE, noise_batch
from tiny_iamsb import PLAIN_STREAMS, SMALL, small

import iamsb_core.systems.iamsb.dense as dense_module
from iamsb_core.systems.iamsb import IamsbConfig, compact
from iamsb_core.systems.iamsb.config import BudgetConfig
from iamsb_core.systems.iamsb.dense import pooled_scores
from iamsb_core.systems.iamsb.variants import FULL, SweepPoints, variants
from iamsb_core.training.reconfigure import reconfigured

CLIPS = noise_batch(PLAIN_STREAMS, [GENUINE] * 2)


#  confidence .64, evidence .25:  weight 0 -> .64;  .5 -> .8 * .5 = .4;  1 -> .25
def test_scores_are_pooled_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_module, "segment_evidence", lambda *_: (torch.tensor([[0.5]]), torch.tensor([[0.5]])))
    confidence, outputs = torch.tensor([[0.64]]), cast("Any", None)
    found = [pooled_scores(confidence, outputs, torch.zeros(1, 1, 2), weight).item() for weight in (0.0, 0.5, 1.0)]
    assert found == pytest.approx([0.64, 0.4, 0.25])


def test_the_full_system_comes_first_and_points_that_are_it_train_nothing_of_their_own() -> None:
    first, *others = variants(compact(), SweepPoints())
    assert (first.name, first.changes, first.trained) == (FULL, {}, True)
    named = {one.name: one for one in others}
    assert named["no-csb"].changes == {"use_coarse": False}
    assert named["csb-only"].changes == {"use_witness": False, "use_refinement": False}
    assert all(one.trained for one in others if one.sweep in ("bridges", "coarse-steps"))
    assert named["k = 8"].changes == {"witness": {"num_witnesses": 8}}
    assert not named["k = 8"].trained
    for same in ("k = 16", "S_c = 2", "S_tgt = 8"):  # what compact has anyway
        assert named[same].changes == {}
        assert named[same].trained
    retrained = variants(compact(), SweepPoints(sweeps=("step-budget",), trained=("step-budget",)))
    assert [(one.name, one.trained) for one in retrained[1:]] == [(f"S_tgt = {n}", True) for n in (0, 4, 8, 12, 16)]


@pytest.mark.parametrize("wrong", [{"sweeps": ("witness",)}, {"trained": ("k",)}, {"witnesses": (0,)}])
def test_sweeps_that_are_not_there_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no sweep|1 or more"):
        SweepPoints(**wrong)


def test_every_point_without_a_training_runs_on_the_full_weights() -> None:
    full, given = small(), CLIPS
    with torch.no_grad():
        usual = full(given)
        for one in variants(SMALL, SweepPoints()):
            if one.trained:
                continue
            made = reconfigured(full, one.changes)
            outputs = made(given)
            torch.testing.assert_close(outputs.audio.candidates.segments, usual.audio.candidates.segments)
            budget = cast("IamsbConfig", made.config).budget
            assert [sum(steps) for steps in outputs.num_steps] == outputs.step_targets
            assert budget.quiet_probability or set(outputs.step_targets) == {budget.num_steps}
            assert (outputs.audio.refined is None) == (budget.num_steps == 0)
            assert [len(clip.fused) > 0 for clip in made.propose(outputs, given)] == [True, True]


def test_even_budgets_ask_nobody() -> None:
    made, given = reconfigured(small(), {"budget": {"allocation": "even"}}), CLIPS
    with torch.no_grad():
        outputs = made(given)
    assert set(outputs.num_steps) == {(SMALL.budget.num_steps // 2,) * 2}
    assert outputs.weights.tolist() == [[0.5, 0.5]] * 2


def test_what_weights_depend_on_cannot_be_changed_after_training() -> None:
    with pytest.raises(ValueError, match="cannot be changed after its training"):
        reconfigured(small(), {"dim": 32})
    with pytest.raises(ValueError, match="num_witnes"):
        reconfigured(small(), {"witness": {"num_witnes": 3}})


def test_steps_are_none_or_cover_their_floors() -> None:
    assert not replace(SMALL, budget=BudgetConfig(num_steps=0)).refines
    with pytest.raises(ValueError, match="cover both floors"):
        replace(SMALL, budget=BudgetConfig(num_steps=2))
    with pytest.raises(ValueError, match="nothing finds segments"):
        replace(SMALL, use_coarse=False, budget=BudgetConfig(num_steps=0))
