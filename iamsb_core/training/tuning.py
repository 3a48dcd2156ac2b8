"""Tuning an encoder by the truth of its own stream: is this cell forged? Shapes: B windows, L cells, D feature dim."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from iamsb_core.encoders.tunable import TunableEncoder, as_tensor, unfreeze
from iamsb_core.metrics.cells import cell_truth
from iamsb_core.metrics.detection import roc_auc
from iamsb_core.timeline import TimeGrid
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.optimizer import learning_rate
from iamsb_core.training.seeding import derived_seed, seeded
from iamsb_core.training.tuning_config import TuneConfig

_HEAD, _ORDER = 104_729, 1_299_709
"""beside the seed: what the head's weights and the order of the windows are drawn from"""
_NUM_SCALED_WINDOWS = 128
_LEAST_DEVIATION = 1e-5
_SHAPE = TrainConfig(learning_rate=1.0)
"""how the rate rises and falls over the steps"""


@dataclass(frozen=True)
class Window:
    """A stretch of one clip in one stream."""

    inputs: NDArray[Any]
    """(L, ...), as `TunableEncoder.inputs` gives them"""
    truth: NDArray[np.bool_]
    """(L,): which cells are forged"""


class Windows(Protocol):
    """Those of a split, in a fixed order."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int) -> Window: ...


@dataclass(frozen=True, kw_only=True)
class TuneStep:
    """One step."""

    step: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class TuneEpoch:
    """One pass over the windows, and a look at the dev split after it."""

    epoch: int
    is_tuning: bool
    """False: the head learned alone"""
    loss: float
    dev_auc: float
    """over the dev windows' cells"""


def draw_window(truth: NDArray[np.float64], grid: TimeGrid, num_cells: int, rng: np.random.Generator) -> slice:
    """Cells to look at: around a forged cell where there is one, each of them and its place in the window as likely.

    truth: (K, 2) seconds. A grid of no more than num_cells is looked at as a whole.
    """
    if grid.num_cells <= num_cells:
        return slice(0, grid.num_cells)
    forged = np.flatnonzero(cell_truth(truth, grid))
    last = grid.num_cells - num_cells
    first = int(rng.choice(forged) - rng.integers(num_cells)) if len(forged) else int(rng.integers(last + 1))
    first = min(max(first, 0), last)
    return slice(first, first + num_cells)


class CellHead(nn.Module):
    """Is the cell forged, from its features alone: a logit, linear in them or through one hidden layer."""

    mean: Tensor
    """(D,), taken off every row"""
    deviation: Tensor
    """(D,), that every row is divided by"""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("deviation", torch.ones(dim))
        hidden = [nn.Linear(dim, width), nn.GELU()] if width else []
        self.layers = nn.Sequential(*hidden, nn.Linear(width or dim, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """(..., D) to (...)."""
        logits: Tensor = self.layers((rows - self.mean) / self.deviation).squeeze(-1)
        return logits


def cell_loss(logits: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Binary cross-entropy, the mean over all cells of all windows."""
    said, true = (torch.cat([part.flatten() for part in parts]) for parts in (logits, truth))
    return F.binary_cross_entropy_with_logits(said, true.to(said.dtype))


class EncoderTuner:
    """Tunes an encoder and its head. Afterwards the encoder has the weights of the best epoch."""

    def __init__(
        self, encoder: TunableEncoder, train: Windows, dev: Windows, config: TuneConfig, device: torch.device | str
    ) -> None:
        """Raises ValueError where either split lacks forged or genuine cells, or the encoder has fewer blocks."""
        self._encoder, self._train, self._dev = encoder, train, dev
        self._config, self._device = config, torch.device(device)
        for name, windows in (("train", train), ("dev", dev)):
            _check(name, windows, encoder.spec.modality.name or "")
        self._learning = unfreeze(encoder, config.blocks)
        with seeded(config.seed, _HEAD):
            self._head = CellHead(encoder.stream.dim, config.head_width)
        self._head.to(self._device)

    @property
    def num_steps(self) -> int:
        """Of all epochs."""
        return (self._config.head_epochs + self._config.epochs) * self._steps_per_epoch

    @property
    def num_learning(self) -> int:
        """Numbers in the encoder that learn."""
        return sum(weight.numel() for weight in self._learning)

    @property
    def _steps_per_epoch(self) -> int:
        return -(-len(self._train) // self._config.batch_size)

    def run(self) -> Iterator[TuneStep | TuneEpoch]:
        """Every step as it is taken, and every epoch with its look at the dev split."""
        self._fit_scale()
        config, best = self._config, -1.0
        kept: list[Tensor] = []
        head = {"params": list(self._head.parameters()), "lr": config.head_learning_rate}
        yield from self._epochs(torch.optim.AdamW([head], weight_decay=config.weight_decay), range(config.head_epochs))
        blocks = {"params": self._learning, "lr": config.encoder_learning_rate}
        optimizer = torch.optim.AdamW([blocks, head], weight_decay=config.weight_decay)
        for report in self._epochs(optimizer, range(config.head_epochs, config.head_epochs + config.epochs)):
            if isinstance(report, TuneEpoch) and report.dev_auc > best:
                best, kept = report.dev_auc, [weight.detach().clone() for weight in self._learning]
            yield report
        with torch.no_grad():
            for weight, value in zip(self._learning, kept, strict=True):
                weight.copy_(value)

    def _epochs(self, optimizer: torch.optim.AdamW, epochs: range) -> Iterator[TuneStep | TuneEpoch]:
        is_tuning = len(optimizer.param_groups) > 1
        peaks = [group["lr"] for group in optimizer.param_groups]
        for epoch in epochs:
            losses = []
            for number, places in enumerate(self._batches(epoch)):
                step = epoch * self._steps_per_epoch + number
                share = 1.0
                if is_tuning:
                    first = epochs.start * self._steps_per_epoch
                    share = learning_rate(step - first, self.num_steps - first, _SHAPE)
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * share
                losses.append(self._step(optimizer, places, is_tuning=is_tuning))
                yield TuneStep(step=step, loss=losses[-1])
            loss = float(np.mean(losses))
            yield TuneEpoch(epoch=epoch, is_tuning=is_tuning, loss=loss, dev_auc=self._dev_auc())

    def _step(self, optimizer: torch.optim.AdamW, places: Sequence[int], *, is_tuning: bool) -> float:
        windows = [self._train[place] for place in places]
        optimizer.zero_grad()
        logits, truth = self._logits(windows, with_gradients=is_tuning)
        loss = cell_loss(logits, truth)
        if not torch.isfinite(loss):
            raise ValueError(f"the loss became {loss.item()}; lower encoder_learning_rate and head_learning_rate")
        loss.backward()  # type: ignore[no-untyped-call]
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, self._config.clip_norm)
        optimizer.step()
        return loss.item()

    def _logits(self, windows: Sequence[Window], *, with_gradients: bool) -> tuple[list[Tensor], list[Tensor]]:
        """Logits and truth, (b, L) each, of those of equal length together: no window is padded."""
        said, true = [], []
        for same in _by_length(windows):
            with torch.set_grad_enabled(with_gradients and torch.is_grad_enabled()):
                rows = self._encoder.rows(as_tensor([one.inputs for one in same], self._device))
            said.append(self._head(rows))
            true.append(as_tensor([one.truth for one in same], self._device))
        return said, true

    def _batches(self, epoch: int) -> Iterator[list[int]]:
        order = np.random.default_rng(derived_seed(self._config.seed, _ORDER, epoch)).permutation(len(self._train))
        for first in range(0, len(order), self._config.batch_size):
            yield order[first : first + self._config.batch_size].tolist()

    @torch.no_grad()
    def _fit_scale(self) -> None:
        """The head takes features as the frozen encoder spreads them over some of the training windows."""
        some = [self._train[place] for places in self._batches(0) for place in places][:_NUM_SCALED_WINDOWS]
        total = torch.zeros(2, self._encoder.stream.dim, dtype=torch.float64, device=self._device)
        num_cells = 0
        for first in range(0, len(some), self._config.batch_size):
            for same in _by_length(some[first : first + self._config.batch_size]):
                rows = self._encoder.rows(as_tensor([one.inputs for one in same], self._device)).flatten(0, 1).double()
                total += torch.stack([rows.sum(dim=0), rows.square().sum(dim=0)])
                num_cells += len(rows)
        mean, power = total / num_cells
        self._head.mean.copy_(mean)
        self._head.deviation.copy_((power - mean.square()).clamp_min(0.0).sqrt() + _LEAST_DEVIATION)

    @torch.no_grad()
    def _dev_auc(self) -> float:
        scores, truths = [], []
        for first in range(0, len(self._dev), self._config.batch_size):
            last = min(first + self._config.batch_size, len(self._dev))
            said, true = self._logits([self._dev[place] for place in range(first, last)], with_gradients=False)
            scores += [part.flatten().cpu().numpy() for part in said]
            truths += [part.flatten().cpu().numpy() for part in true]
        found = roc_auc(np.concatenate(truths), np.concatenate(scores))
        assert found is not None
        return found


def _by_length(windows: Sequence[Window]) -> Iterator[list[Window]]:
    groups: dict[int, list[Window]] = defaultdict(list)
    for window in windows:
        groups[len(window.truth)].append(window)
    yield from groups.values()


def _check(split: str, windows: Windows, stream: str) -> None:
    """Raises ValueError where there is nothing to tell apart."""
    kinds: set[bool] = set()
    for place in range(len(windows)):
        kinds |= set(windows[place].truth.tolist())
        if len(kinds) == 2:
            return
    found = "no clip" if not len(windows) else f"only {'forged' if True in kinds else 'genuine'} cells"
    raise ValueError(
        f"the {split} split has {found} in its {stream.lower()} stream, and tuning learns to tell forged cells from "
        "genuine ones; give a dataset with both in its train and dev splits, or tune the other stream's encoder alone"
    )
