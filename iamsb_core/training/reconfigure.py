"""A trained system with other settings than it was trained with, where they touch none of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.systems.base import System, create_system
from iamsb_core.training.recipes import changed


def reconfigured(system: System[Any], changes: Mapping[str, Any]) -> System[Any]:
    """The same weights behind a configuration with changes to nested fields of it, in evaluation mode.

    Raises ValueError for an unknown field, and for one that the weights depend on.
    """
    config: Any = parse(type(system.config), changed(plain(system.config), changes), where=f"{system.name} changes")
    with torch.random.fork_rng(devices=[]):
        made = create_system(system.name, system.streams, config)
    try:
        made.load_state_dict(system.state_dict())
    except RuntimeError as error:
        raise ValueError(f"{system.name} cannot be changed after its training by {dict(changes)}: {error}") from error
    device = next(system.parameters()).device
    return made.to(device).eval()
