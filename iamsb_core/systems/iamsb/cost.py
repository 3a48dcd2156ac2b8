"""What IaMSB costs: trainable parameters, and floating-point operations of each bridge, counted and not estimated.

Counted as `iamsb_core.systems.cost` does; the coupling has no matrix product, so its elementwise operations are counted
by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from iamsb_core.encoders.base import Streams
from iamsb_core.systems.cost import count_gflop, random_batch
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs
from iamsb_core.systems.iamsb.memory import StreamMemory
from iamsb_core.systems.iamsb.refinement import RunningClips
from iamsb_core.systems.iamsb.selection import select
from iamsb_core.systems.iamsb.stream_network import StreamNetwork
from iamsb_core.systems.iamsb.system import Iamsb
from iamsb_core.systems.iamsb.witness import Witnesses
from iamsb_core.systems.noise import Noise

_GIGA = 1e9
_HALF_STEP_OPERATIONS = 3
"""add a potential, exponentiate, sum: for each entry, in each half of an iteration"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One clip's cost. A step is one of both streams together, the refinement's at an even budget."""

    num_parameters: int
    neck_gflop: float
    coarse_step_gflop: float
    coupling_iteration_gflop: float
    refinement_step_gflop: float
    total_gflop: float
    """one whole forward pass of an untrained model"""


def count_cost(config: IamsbConfig, streams: Streams, duration_seconds: float) -> Cost:
    """Count on random features of that length, on the CPU."""
    system = Iamsb(config, streams).eval()
    batch = random_batch(streams, duration_seconds)
    with torch.no_grad():
        read = system.read(batch, Noise(None))
    parts = [_step_cost(network, *found) for network, found in zip(system.stream_networks(), read, strict=True)]
    coarse, refinement = (sum(column) for column in zip(*parts, strict=True))
    return Cost(
        num_parameters=sum(parameter.numel() for parameter in system.parameters() if parameter.requires_grad),
        neck_gflop=count_gflop(lambda: system.read(batch, Noise(None))),
        coarse_step_gflop=coarse,
        coupling_iteration_gflop=coupling_operations(config.coarse.num_queries) / _GIGA,
        refinement_step_gflop=refinement,
        total_gflop=count_gflop(lambda: system(batch)),
    )


def coupling_operations(num_queries: int) -> int:
    """One Sinkhorn iteration: two halves over N x N entries, in each of the two orders that are averaged."""
    return 2 * 2 * _HALF_STEP_OPERATIONS * num_queries**2


def _step_cost(network: StreamNetwork, memory: StreamMemory, dense: DenseOutputs) -> tuple[float, float]:
    """GFLOP of one stream's coarse step, and of a refinement step with half of the query budget."""
    noise = Noise(None)
    with torch.no_grad():
        state = network.prior(memory, dense, noise)
    coarse = count_gflop(lambda: network.coarse.step(state, memory, 0.0, 0.5))
    refinement = network.refinement
    if refinement is None:
        return coarse, 0.0
    num_queries = network.config.coarse.num_queries
    selection = select(state.logits.sigmoid(), [num_queries // 2], noise)
    steps = torch.tensor([network.config.budget.num_steps // 2])
    clips = RunningClips(state.rows(selection.index), selection.exists, steps, memory, None)
    if refinement.witness_attention is not None:
        kept = min(network.config.witness.num_witnesses, num_queries)
        index = torch.arange(kept).expand(1, num_queries, kept)
        blank = Witnesses(index, torch.zeros(1, num_queries, kept), torch.ones(1, num_queries), memory.present)
        clips = replace(clips, witnesses=network.witness_memory(blank, selection, state.latents))
    return coarse, count_gflop(lambda: refinement.step(clips, 0))
