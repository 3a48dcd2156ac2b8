"""The processes that train one model: those that torchrun started, or this one alone.

Each process has the whole model and its share of every batch. After each backward pass the gradients are averaged in
one message, not by DistributedDataParallel: that hooks into `backward`, and a system may set its gradients by itself
(`System.backward`). Counts and draws reach over the processes too (`iamsb_core.processes`), so that a step is the one
that a single process would take on the whole batch, up to the order in which numbers are summed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from iamsb_core.processes import Share

_PATIENCE = timedelta(hours=12)
"""for the first process, which alone looks at the dev split; one that dies is noticed at once, by its connection"""


@dataclass(frozen=True)
class Team:
    """This process among those that train together. The first one writes and measures, alone."""

    rank: int = 0
    num_processes: int = 1

    @classmethod
    def join(cls) -> Team:
        """Meet the others, as the environment that torchrun sets says: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT."""
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
            dist.init_process_group("cpu:gloo,cuda:nccl", timeout=_PATIENCE)
        else:
            dist.init_process_group("gloo", timeout=_PATIENCE)
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, num_clips: int) -> Share | None:
        """This process's clips of a batch; None where it is alone."""
        return None if self.num_processes == 1 else Share(self.rank, self.num_processes, num_clips)

    def told(self, data: bytes) -> bytes:
        """The first process's bytes, in every process."""
        if self.num_processes == 1:
            return data
        size = torch.tensor(len(data))
        dist.broadcast(size, src=0)
        received = torch.empty(int(size), dtype=torch.uint8)
        if self.is_first:
            received = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        dist.broadcast(received, src=0)
        return received.numpy().tobytes()

    def average_gradients(self, system: nn.Module) -> None:
        """Give every process the mean of all gradients; a weight without one anywhere stays without."""
        if self.num_processes == 1:
            return
        weights = [weight for weight in system.parameters() if weight.requires_grad]
        there = torch.tensor([float(weight.grad is not None) for weight in weights], device=weights[0].device)
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        flat = torch.cat([there, *(gradient.reshape(-1) for gradient in gradients)])
        dist.all_reduce(flat)
        flat /= self.num_processes
        there, *parts = torch.split(flat, [len(weights), *(weight.numel() for weight in weights)])
        for weight, part, known in zip(weights, parts, there.tolist(), strict=True):
            weight.grad = part.view_as(weight).to(weight.dtype) if known else None

    def average(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """What the whole batch's losses are."""
        values = torch.stack([value.detach().double() for value in losses.values()])
        if self.num_processes > 1:
            dist.all_reduce(values)
            values /= self.num_processes
        return dict(zip(losses, values.tolist(), strict=True))


ALONE = Team()
"""this process, without others"""
