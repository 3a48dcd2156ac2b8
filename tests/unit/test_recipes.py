"""Sizes of training."""

from __future__ import annotations

import pytest

from flows.train import TrainFlowConfig
from iamsb_core.systems.iamsb import compact, paper
from iamsb_core.training.recipes import system_recipe, training_recipe


def test_the_papers_schedule_is_the_papers() -> None:
    schedule = training_recipe("paper")
    assert (schedule.epochs, schedule.batch_size, schedule.learning_rate) == (40, 128, 2.5e-4)


def test_changes_reach_nested_fields_and_leave_the_rest() -> None:
    config = system_recipe("iamsb", "compact", {"dim": 64, "coarse": {"num_steps": 3}})
    assert (config["dim"], config["coarse"]["num_steps"]) == (64, 3)
    assert config["coarse"]["num_queries"] == compact().coarse.num_queries
    assert system_recipe("iamsb", "paper", {})["dim"] == paper().dim


@pytest.mark.parametrize(("size", "dim"), [("auto", compact().dim), ("paper", paper().dim)])
def test_a_cpu_gets_the_compact_size_unless_told_otherwise(size: str, dim: int) -> None:
    config = TrainFlowConfig(size=size, device="cpu").resolved()  # type: ignore[arg-type]
    assert config.system_config["dim"] == dim
    assert config.training == training_recipe("compact" if size == "auto" else "paper")
    assert config.resolved() == config


def test_a_system_may_have_schedules_of_its_own() -> None:
    long = TrainFlowConfig(system="fpn-transformer", schedule="long", device="cpu").resolved()
    assert long.training is not None
    assert (long.training.epochs, long.training.ema_decay) == (95, training_recipe("compact").ema_decay)
    assert training_recipe("compact", "fpn-transformer") != training_recipe("paper", "fpn-transformer")
    assert training_recipe("published", "fpn-transformer") == training_recipe("paper", "fpn-transformer")
    with pytest.raises(ValueError, match=r"iamsb has no schedule 'long'; it has none"):
        TrainFlowConfig(schedule="long")


def test_a_size_is_any_preset_of_the_system() -> None:
    assert system_recipe("fpn-transformer", "published", {})["window_cells"] is None
    with pytest.raises(ValueError, match="did you mean 'compact'"):
        TrainFlowConfig(size="compac")
