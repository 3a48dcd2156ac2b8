"""Named sizes of training: the paper's, for a GPU, and one that two CPU cores finish in minutes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from iamsb_core.digest import plain
from iamsb_core.systems.base import system_type
from iamsb_core.training.config import TrainConfig

Size = Literal["paper", "compact"]


def training_recipe(size: Size) -> TrainConfig:
    """The schedule that goes with a size; `compact` was tuned on forged clips of some 18 to 30 people."""
    if size == "paper":
        return TrainConfig()
    return TrainConfig(epochs=26, batch_size=16, learning_rate=1e-3, ema_decay=0.99, evaluate_every_epochs=5)


def system_recipe(system: str, size: Size, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A system's configuration at a size, as JSON data, with changes to nested fields of it."""
    chosen = system_type(system)
    return _changed(plain(chosen.presets.get(size, chosen.config_type)()), changes)


def _changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    nested = {
        key: _changed(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), dict) else value
        for key, value in changes.items()
    }
    return base | nested
