"""Variants of systems, and conditions that they are scored under: what an ablation consists of, as data.

`flows/bench.py` trains and scores them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iamsb_core.digest import plain
from iamsb_core.manifest import Split, StreamName
from iamsb_core.metrics.protocols import protocol as named_protocol


def check_terms(seeds: tuple[int, ...], protocol: str) -> None:
    """What everyone is trained and scored with. Raises ValueError for no seed, one given twice, or no such protocol."""
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"name at least one seed, each once, got {list(seeds)}")
    named_protocol(protocol)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train."""

    name: str
    """empty for a system as it comes, which is then called by its own name"""
    system: str | None = None
    """None: each of the systems that the experiment is run over"""
    system_config: Mapping[str, Any] = field(default_factory=dict)
    """fields of the system's configuration that differ from its size's"""
    training: Mapping[str, Any] = field(default_factory=dict)
    """fields of the schedule that differ from the system's own at its size"""
    encoders: str | None = None
    """None: those of the terms"""
    tuning: Mapping[str, Any] | None = None
    """fields of `TuneConfig` that differ from its defaults, where the encoders learn before features are extracted;
    None: they are as they come"""
    hidden: tuple[StreamName, ...] = ()
    """streams that training does without"""

    @property
    def differs(self) -> str:
        """The settings in short: JSON without its quotes."""
        given = {**self.system_config, **self.training}
        given |= {} if self.encoders is None else {"encoders": self.encoders}
        given |= {} if self.tuning is None else {"tuning": self.tuning}
        given |= {"hidden": list(self.hidden)} if self.hidden else {}
        return json.dumps(plain(given)).replace('"', "")[1:-1]


def as_it_comes(system: str) -> Variant:
    """A system without any change."""
    return Variant(name=system, system=system)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How trained variants are scored."""

    name: str = ""
    """empty: by the split"""
    split: Split | None = None
    """None: that of the terms"""
    hidden: tuple[StreamName, ...] = ()
    """streams that are held back"""
    perturb: tuple[str, ...] = ()
    """what is done to the clips first, such as `jpeg:3`"""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """fields of the system's configuration that differ from those it was trained with"""
