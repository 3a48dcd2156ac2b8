"""The training loop: a generator of reports, resumable at any step with an identical result."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iamsb_core.data.batch import Batch
from iamsb_core.data.dataset import ClipDataset
from iamsb_core.data.epochs import epoch_order, plain_batches, training_batches
from iamsb_core.data.prefetch import prefetched
from iamsb_core.digest import plain
from iamsb_core.processes import sharing
from iamsb_core.systems.base import System
from iamsb_core.training.checkpoint import (
    Position,
    RunState,
    checkpoints,
    from_bytes,
    load_checkpoint,
    save_checkpoint,
    to_bytes,
)
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.optimizer import AveragedWeights, learning_rate, make_optimizer
from iamsb_core.training.seeding import seeded
from iamsb_core.training.team import ALONE, Team

log = logging.getLogger(__name__)

SELECTION = "selection"
"""the metric among those of `validate` by which the model that is kept is chosen; larger is better"""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimiser step."""

    step: int
    num_steps: int
    epoch: int
    losses: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    seconds: float
    waiting_seconds: float
    """of `seconds`, spent waiting for the batch"""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch, with dev metrics where the epoch was evaluated."""

    epoch: int
    step: int
    losses: Mapping[str, float]
    """means over the epoch's steps"""
    metrics: Mapping[str, float]
    improved: bool
    """the averaged weights of this epoch are now the model"""
    seconds: float


class Trainer:
    """One run in one folder: checkpoints in it are resumed from, `keep` is called with the weights to keep."""

    def __init__(
        self,
        system: System[Any],
        dataset: ClipDataset,
        config: TrainConfig,
        folder: Path,
        *,
        run_digest: str,
        validate: Callable[[System[Any]], Mapping[str, float]],
        keep: Callable[[Mapping[str, Tensor], Mapping[str, float]], None],
        device: torch.device | str = "cpu",
        fit_normalisation: bool = True,
        team: Team = ALONE,
    ) -> None:
        """`run_digest` names everything the result depends on: a checkpoint with another is refused.

        fit_normalisation: False keeps how the system standardises features, as one that is trained on needs it.
        team: the processes that train together; each has a Trainer, the first one's folder, `validate` and `keep` are
        used, and its weights are what all begin with. Raises ValueError where there are more processes than clips in
        the smallest batch.
        """
        self.system = system.to(device)
        self.dataset = dataset
        self.config = config
        self.folder = folder
        self.device = torch.device(device)
        self._run_digest = run_digest
        self._fit_normalisation = fit_normalisation
        self._validate = validate
        self._keep = keep
        self._team = team
        batches = [len(numbers) for numbers in epoch_order(len(dataset), config.batch_size, config.seed, 0)]
        if min(batches) < team.num_processes:
            raise ValueError(
                f"{team.num_processes} processes cannot share a batch of {min(batches)} clips, the smallest of this "
                f"training (batch_size {config.batch_size}, {len(dataset)} clips); use fewer processes or larger "
                "batches"
            )
        self.num_steps = len(batches) * config.epochs

    def run(self) -> Iterator[StepReport | EpochReport]:
        """Train to the end, from the last checkpoint where there is one.

        Epochs that an earlier process finished are reported again first, so that a log cut off with it is completed.
        """
        self._start()
        yield from (EpochReport(**done) for done in self._position.history)
        while self._position.epoch < self.config.epochs:
            yield from self._epoch()

    def _start(self) -> None:
        found = checkpoints(self.folder) if self._team.is_first else []
        if not found and self._fit_normalisation and self._team.is_first:
            self.system.fit_normalisation(
                batch.to(self.device) for batch in plain_batches(self.dataset, self.config.batch_size, self.config.seed)
            )
        self._average = AveragedWeights(self.system, self.config.ema_decay)
        self._optimizer = make_optimizer(self.system, self.config)
        self._state = RunState(self.system, self._average, self._optimizer, self._run_digest)
        self._position = Position()
        if found:
            self._position = load_checkpoint(found[-1], self._state)
            log.info("resuming at step %d of %d", self._position.step, self.num_steps)
        if self._team.num_processes > 1:
            told = self._team.told(to_bytes(self._state, self._position) if self._team.is_first else b"")
            self._position = from_bytes(told, self._state)

    def _epoch(self) -> Iterator[StepReport | EpochReport]:
        began, position = time.perf_counter(), self._position
        epoch = position.epoch
        batches = training_batches(
            self.dataset,
            self.config.batch_size,
            self.config.seed,
            epoch,
            self.config.augmentation,
            first_batch=position.batch,
            rank=self._team.rank,
            num_processes=self._team.num_processes,
        )
        order = epoch_order(len(self.dataset), self.config.batch_size, self.config.seed, epoch)
        with contextlib.closing(prefetched(batches)) as ready:
            yield from self._steps(ready, [len(numbers) for numbers in order[position.batch :]])
        metrics, improved = self._evaluated(epoch)
        report = EpochReport(
            epoch=epoch,
            step=position.step,
            losses={name: value / position.batch for name, value in position.loss_sums.items()},
            metrics=metrics,
            improved=improved,
            seconds=time.perf_counter() - began,
        )
        position.epoch, position.batch, position.loss_sums = epoch + 1, 0, {}
        position.history.append(plain(report))
        self._checkpoint()
        yield report

    def _steps(self, batches: Iterator[Batch], num_clips: list[int]) -> Iterator[StepReport]:
        """num_clips: of each whole batch."""
        self.system.train()
        for num in num_clips:
            began = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter() - began
            with sharing(self._team.share(num)):
                losses, rate, norm = self._step(batch.to(self.device))
            self._position.step += 1
            self._position.batch += 1
            for name, value in losses.items():
                self._position.loss_sums[name] = self._position.loss_sums.get(name, 0.0) + value
            if self._position.step % self.config.checkpoint_every_steps == 0:
                self._checkpoint()
            yield StepReport(
                step=self._position.step,
                num_steps=self.num_steps,
                epoch=self._position.epoch,
                losses=losses,
                learning_rate=rate,
                gradient_norm=norm,
                seconds=time.perf_counter() - began,
                waiting_seconds=waited,
            )

    def _step(self, batch: Batch) -> tuple[dict[str, float], float, float]:
        step = self._position.step
        rate = learning_rate(step, self.num_steps, self.config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with seeded(self.config.seed, step) as generator, self._autocast():
            losses = self.system.losses(self.system(batch, generator), batch)
        self._optimizer.zero_grad(set_to_none=True)
        about_gradients = self.system.backward(losses)
        self._team.average_gradients(self.system)
        norm = torch.nn.utils.clip_grad_norm_(self.system.parameters(), self.config.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"the gradient of step {step} is {norm.item()}; losses: "
                + ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
                + "; lower learning_rate or use precision float32"
            )
        self._optimizer.step()
        self._average.update(self.system, step)
        return self._team.average(losses) | about_gradients, rate, norm.item()

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        wanted = self.config.precision
        bfloat16 = wanted == "bfloat16" or (wanted == "auto" and self.device.type == "cuda")
        return torch.autocast(self.device.type, torch.bfloat16) if bfloat16 else contextlib.nullcontext()

    def _evaluated(self, epoch: int) -> tuple[Mapping[str, float], bool]:
        """Dev metrics of the averaged weights, and whether they are the best so far."""
        if not self._team.is_first:
            return {}, False
        last = epoch + 1 == self.config.epochs
        if not last and (epoch + 1) % self.config.evaluate_every_epochs:
            return {}, False
        trained = {name: value.clone() for name, value in self.system.state_dict().items()}
        self.system.load_state_dict(self._average.values)
        metrics = self._validate(self.system.eval())
        best = self._position.best_score
        improved = best is None or metrics[SELECTION] >= best
        if improved:
            self._position.best_score = metrics[SELECTION]
            self._keep(self.system.state_dict(), metrics)  # the averaged weights, and what validating fitted
        self.system.load_state_dict(trained)
        return metrics, improved

    def _checkpoint(self) -> None:
        if self._team.is_first:
            save_checkpoint(self.folder, self._state, self._position)
