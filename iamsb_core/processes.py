"""Several processes that train one model, each with its share of the clips of every batch.

What a system counts, draws or compares over a batch is meant over the whole batch, wherever its clips are: these
functions reach over the processes. A system's loss is the mean of what the processes say, so a term that is summed
over a share is divided by `batch_count`. Outside of `sharing` each function gives back what it was given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """This process's clips of one batch: every `num_processes`-th from `rank` on."""

    rank: int
    num_processes: int
    num_clips: int
    """of the whole batch"""

    @property
    def rows(self) -> slice:
        """Places of the share's clips in the whole batch."""
        return slice(self.rank, self.num_clips, self.num_processes)


_share: ContextVar[Share | None] = ContextVar("share", default=None)


@contextlib.contextmanager
def sharing(share: Share | None) -> Iterator[None]:
    """In here the batch is a share of one that all processes of torch's process group have together; None: whole."""
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def batch_count(count: Tensor) -> Tensor:
    """What a sum over this process's clips is divided by to give a mean over the whole batch: 1 at least.

    With shares it is the whole batch's count over the number of processes, since the processes' losses are averaged.
    """
    share = _share.get()
    if share is None:
        return count.clamp_min(1)
    total = count.detach().clone()
    dist.all_reduce(total)
    return total.clamp_min(1) / share.num_processes


def batch_most(number: int) -> int:
    """The largest of the processes' numbers."""
    if _share.get() is None:
        return number
    most = torch.tensor(number)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return int(most)


def batch_draw(draw: Callable[[tuple[int, ...]], Tensor], shape: tuple[int, ...]) -> Tensor:
    """Random numbers of a shape whose first axis is clips: those that one process would draw for the same clips."""
    share = _share.get()
    if share is None:
        return draw(shape)
    return draw((share.num_clips, *shape[1:]))[share.rows]


def batch_rows(values: Tensor) -> Tensor:
    """The rows, one for each clip, of the whole batch in its order; gradients find their way back to their process."""
    share = _share.get()
    if share is None:
        return values
    most = -(-share.num_clips // share.num_processes)
    padded = torch.cat([values, values.new_zeros(most - len(values), *values.shape[1:])])
    rows: Tensor = _Gathered.apply(padded, share)  # type: ignore[no-untyped-call]
    return rows.transpose(0, 1).flatten(0, 1)[: share.num_clips]


def averaged(values: Sequence[Tensor]) -> list[Tensor]:
    """The means of what the processes have, in one message."""
    share = _share.get()
    if share is None:
        return list(values)
    flat = torch.cat([value.detach().reshape(-1) for value in values])
    dist.all_reduce(flat)
    flat /= share.num_processes
    parts = torch.split(flat, [value.numel() for value in values])
    return [part.view(value.shape).to(value.dtype) for part, value in zip(parts, values, strict=True)]


class _Gathered(torch.autograd.Function):
    """(b, ...) of each process -> (num_processes, b, ...); each process's gradient is the sum of what all say of it."""

    @staticmethod
    def forward(ctx: object, values: Tensor, share: Share) -> Tensor:
        ctx.rank = share.rank  # type: ignore[attr-defined]
        parts = [torch.empty_like(values) for _ in range(share.num_processes)]
        dist.all_gather(parts, values.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[ctx.rank], None  # type: ignore[attr-defined]
