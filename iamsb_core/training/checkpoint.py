"""Checkpoints of a run in progress: weights, averaged weights, optimiser and position.

Random state is not among them: every step's draws are a function of (seed, step). A folder `step-NNNNNNNN` holds
state.safetensors and state.json; it appears by one rename, so what a killed process leaves behind is either whole
or not there. No pickle.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor, nn

from iamsb_core.training.optimizer import AveragedWeights

_NAME = re.compile(r"step-(\d{8})")
_NUM_KEPT = 2


@dataclass
class Position:
    """How far a run has come."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """number of the epoch's next batch"""
    loss_sums: dict[str, float] = field(default_factory=dict)
    """over the epoch's batches so far"""
    best_score: float | None = None
    """of the weights kept as the model so far"""
    history: list[dict[str, Any]] = field(default_factory=list)
    """the fields of the report of every epoch done"""


@dataclass(frozen=True)
class RunState:
    """What a checkpoint holds besides the position."""

    system: nn.Module
    average: AveragedWeights
    optimizer: torch.optim.Optimizer
    run_digest: str
    """names everything that the run's result depends on"""


def save_checkpoint(folder: Path, state: RunState, position: Position) -> Path:
    """Write the run's state into `folder/step-NNNNNNNN` and drop all but the last two."""
    place = folder / f"step-{position.step:08d}"
    for abandoned in folder.glob(".staging-*"):
        shutil.rmtree(abandoned)
    staging = folder / f".staging-{place.name}"
    staging.mkdir(parents=True)
    tensors, header = _described(state, position)
    save_file(tensors, staging / "state.safetensors")
    (staging / "state.json").write_text(json.dumps(header))
    _synced(staging)
    if place.exists():
        _retire(place)
    staging.rename(place)
    for old in checkpoints(folder)[:-_NUM_KEPT]:
        _retire(old)
    return place


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first."""
    return sorted(place for place in folder.glob("step-*") if _NAME.fullmatch(place.name)) if folder.is_dir() else []


def _retire(place: Path) -> None:
    """Out of sight by one rename, then removed: a kill in between leaves nothing that looks like a checkpoint."""
    gone = place.with_name(f".staging-old-{place.name}")
    place.rename(gone)
    shutil.rmtree(gone)


def load_checkpoint(place: Path, state: RunState) -> Position:
    """Put everything back as it was. Raises ValueError where the checkpoint is of another configuration."""
    header = json.loads((place / "state.json").read_text())
    if header["run_digest"] != state.run_digest:
        raise ValueError(
            f"{place} was made with another configuration (digest {header['run_digest'][:12]}, this run "
            f"{state.run_digest[:12]}); train into another folder, or remove this one to start again"
        )
    try:
        tensors = load_file(place / "state.safetensors")
    except SafetensorError as error:
        raise ValueError(f"{place} is damaged ({error}); remove it, and training goes on from the one before") from None
    return _restored(tensors, header, state)


def to_bytes(state: RunState, position: Position) -> bytes:
    """All that a checkpoint holds, to be sent to another process of the same run."""
    tensors, header = _described(state, position)
    return save(tensors, metadata={"header": json.dumps(header)})


def from_bytes(data: bytes, state: RunState) -> Position:
    """Take over what `to_bytes` gave."""
    size = int.from_bytes(data[:8], "little")  # safetensors: the length of the JSON header, then the header
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["header"])
    return _restored(load(data), header, state)


def _described(state: RunState, position: Position) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, scalars = _flatten(state.optimizer.state_dict())
    tensors |= {f"system.{name}": value.contiguous() for name, value in state.system.state_dict().items()}
    tensors |= {f"average.{name}": value.contiguous() for name, value in state.average.values.items()}
    header = {"position": position.__dict__, "optimizer": scalars, "run_digest": state.run_digest}
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}, header


def _restored(tensors: dict[str, Tensor], header: dict[str, Any], state: RunState) -> Position:
    state.system.load_state_dict(_under("system.", tensors))
    average = _under("average.", tensors)
    state.average.values = {name: average[name].to(value.device) for name, value in state.average.values.items()}
    state.optimizer.load_state_dict(_unflatten(tensors, header["optimizer"]))
    return Position(**header["position"])


def _flatten(state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {
        f"optimizer.{number}.{name}": value
        for number, values in state["state"].items()
        for name, value in values.items()
    }
    return tensors, {"param_groups": state["param_groups"]}


def _unflatten(tensors: dict[str, Tensor], scalars: dict[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _under("optimizer.", tensors).items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    return {"state": state, "param_groups": scalars["param_groups"]}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _synced(folder: Path) -> None:
    """Bytes reach the disk before the rename makes them visible."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
