"""The one contract that every system meets, and the registry that makes one by name.

A system owns its feature normalisation (buffers set by `fit_normalisation`), so a checkpoint is complete.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams
from iamsb_core.localization.proposals import ClipProposals

OutputsT = TypeVar("OutputsT")


class System(nn.Module, ABC, Generic[OutputsT]):
    """Something that can be trained to say when, and in which stream, a clip was forged."""

    name: ClassVar[str]
    config_type: ClassVar[type]
    """a frozen dataclass with a default for every field"""
    presets: ClassVar[Mapping[str, Callable[[], Any]]] = {}
    """named configurations, such as `compact`; a name that is not here means the defaults"""
    schedules: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """fields of the training schedule that differ from the usual, by size (`paper`, `compact`) or by a name of the
    system's own, such as `long`"""

    def __init__(self, config: Any, streams: Streams) -> None:
        super().__init__()
        self.config = config
        self.streams = streams

    @abstractmethod
    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> OutputsT:
        """Whatever `losses` and `propose` need. The generator (on the CPU) feeds every random choice of training."""

    @abstractmethod
    def losses(self, outputs: OutputsT, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name; `total` is the one to minimise.

        Clips may be spread over processes: divide sums over the batch by `iamsb_core.processes.batch_count`.
        """

    def backward(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Set the parameters' gradients from what `losses` gave; numbers about them, by name, are reported with it."""
        losses["total"].backward()  # type: ignore[no-untyped-call]
        return {}

    @abstractmethod
    def propose(self, outputs: OutputsT, batch: Batch) -> list[ClipProposals]:
        """One result for each clip of the batch, in its order."""

    def explain(self, outputs: OutputsT, batch: Batch) -> list[dict[str, Any]]:  # noqa: ARG002
        """JSON data for each clip beyond its evidence, for the report on a single one; seconds in lists `segment`.

        Three names are shown in ways of their own: `cells`, stream -> hop_seconds and scores of its cells from t = 0;
        `matches`, a list of audio and visual {segment}, mass and residual; and `trajectories`, stream -> a list of
        confidence and stages {bridge, step, segment}.
        """
        return [{} for _ in batch.video_ids]

    def fit_scores(self, batches: Iterable[Batch]) -> None:
        """Set buffers by which proposals are scored, from labelled batches that were not trained on; most have none."""
        del batches

    @abstractmethod
    def fit_normalisation(self, batches: Iterable[Batch]) -> None:
        """Set the buffers that standardise features from one pass over training batches."""


_REGISTRY: dict[str, type[System[Any]]] = {}


def register(system: type[System[Any]]) -> type[System[Any]]:
    """Class decorator: make the system known by its name."""
    _REGISTRY[system.name] = system
    return system


def system_names() -> tuple[str, ...]:
    """Every system that is registered, in order of name."""
    return tuple(sorted(_REGISTRY))


def system_type(name: str) -> type[System[Any]]:
    """The system of that name. Raises ValueError, with the nearest name, where there is none."""
    if name not in _REGISTRY:
        near = difflib.get_close_matches(name, _REGISTRY, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no system {name!r}; there are {', '.join(system_names())}{hint}")
    return _REGISTRY[name]


def create_system(name: str, streams: Streams, config: Any = None) -> System[Any]:
    """A freshly initialised system; `config` defaults to its type's defaults."""
    chosen = system_type(name)
    return chosen(chosen.config_type() if config is None else config, streams)
