"""Named sizes of training: the paper's, for a GPU, and one that two CPU cores finish in minutes.

A system may say what it wants otherwise, at a size or under a name of its own: `System.schedules`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.systems.base import system_type
from iamsb_core.training.config import TrainConfig

_SIZES = ("paper", "compact")
"""those that every system has: one without a preset of that name takes its defaults"""


def training_recipe(size: str, system: str = "iamsb", schedule: str | None = None) -> TrainConfig:
    """The schedule that goes with a size of a system, or the one that the system has under that name.

    A preset without a schedule of its own is trained as the paper's size. `compact` was tuned on forged clips of
    some 18 to 30 people. Raises ValueError for a name that the system lacks.
    """
    chosen = system_type(system)
    if schedule is not None:
        _require(schedule, chosen.schedules, f"{system} has no schedule")
    name = schedule if schedule is not None else size if size in chosen.schedules or size in _SIZES else "paper"
    return parse(TrainConfig, plain(_usual(size)) | dict(chosen.schedules.get(name, {})), where=f"schedule of {system}")


def _usual(size: str) -> TrainConfig:
    if size != "compact":
        return TrainConfig()
    return TrainConfig(epochs=26, batch_size=16, learning_rate=1e-3, ema_decay=0.99, evaluate_every_epochs=5)


def check_size(system: str, size: str) -> None:
    """Raises ValueError, with the nearest name, for a size that the system does not have."""
    _require(size, {*_SIZES, *system_type(system).presets}, f"{system} has no size")


def _require(name: str, known: Collection[str], problem: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{problem} {name!r}; it has {', '.join(sorted(known)) or 'none'}{hint}")


def system_recipe(system: str, size: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A system's configuration at a size, as JSON data, with changes to nested fields of it."""
    check_size(system, size)
    chosen = system_type(system)
    return changed(plain(chosen.presets.get(size, chosen.config_type)()), changes)


def changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as JSON data, with changes to nested fields of it."""
    nested = {
        key: changed(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), dict) else value
        for key, value in changes.items()
    }
    return base | nested
