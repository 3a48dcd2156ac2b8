"""IaMSB: coarse, witness and refinement bridge behind the system contract.

Shapes: B clips, N queries. Pairs are in the order of STREAMS: column 0 audio, column 1 visual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.systems.base import System, register
from iamsb_core.systems.iamsb.budget import stream_budgets
from iamsb_core.systems.iamsb.config import PRESETS, IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs
from iamsb_core.systems.iamsb.explain import boundary_paths, budget_reason, cell_scores, top_matches
from iamsb_core.systems.iamsb.memory import StreamMemory
from iamsb_core.systems.iamsb.objective import total_loss
from iamsb_core.systems.iamsb.outputs import IamsbOutputs
from iamsb_core.systems.iamsb.proposals import claims, clip_proposals
from iamsb_core.systems.iamsb.ranking import hit_share
from iamsb_core.systems.iamsb.selection import Selection, select
from iamsb_core.systems.iamsb.state import QueryState, StepTrace
from iamsb_core.systems.iamsb.stream_network import StreamNetwork
from iamsb_core.systems.iamsb.witness import WitnessBridge, Witnesses
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.normalisation import StandardisedTrack, fit_standardisation
from iamsb_core.systems.segments import padded_truth, pairwise_tiou

STREAMS = (Modality.AUDIO, Modality.VISUAL)


@register
class Iamsb(System[IamsbOutputs]):
    """The inconsistency-aware multimodal Schroedinger bridge."""

    name: ClassVar[str] = "iamsb"
    config_type: ClassVar[type] = IamsbConfig
    presets: ClassVar[Mapping[str, Callable[[], IamsbConfig]]] = PRESETS
    config: IamsbConfig

    def __init__(self, config: IamsbConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        dims = [StreamInput(streams.of(modality)).dim for modality in STREAMS]
        self.networks = nn.ModuleList(
            StreamNetwork(streams.of(modality), other, config)
            for modality, other in zip(STREAMS, reversed(dims), strict=True)
        )
        self.witness = WitnessBridge(config) if config.use_witness else None

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> IamsbOutputs:
        """Randomness only in training, and only from the generator; none without one."""
        noise = Noise(generator if self.training else None)
        networks, read = self.stream_networks(), self.read(batch, noise)
        coarse = [network.candidates(*found, noise) for network, found in zip(networks, read, strict=True)]
        present = torch.stack([memory.present for memory, _ in read], dim=1)
        states = [trace.final.detached() for trace in coarse]
        energies = torch.stack([trace.energy for trace in coarse], dim=1)
        witness = None if self.witness is None else self.witness(*states, energies, present)
        weights = _even_weights(present)
        if witness is not None and self.config.budget.allocation == "witness":
            weights = witness.weights
        step_targets = self._step_targets(read, coarse)
        num_queries, num_steps = self._budgets(weights, present, step_targets)
        sides = (None, None) if witness is None else (witness.audio, witness.visual)
        streams = []
        for place, network in enumerate(networks):
            memory, dense = read[place]
            refinement = None
            if self.config.refines:
                counts, steps = ([row[place] for row in budget] for budget in (num_queries, num_steps))
                pair = states[place], states[1 - place]
                selection = _selection(pair[0], sides[place], counts, noise)
                witnesses = network.witness_memory(sides[place], selection, pair[1].latents)
                refined = network.refine(pair[0], selection, steps, memory, witnesses=witnesses, noise=noise)
                refinement = selection, refined
            streams.append(network.outputs(memory, dense, coarse[place], refinement))
        targets = self.config.coarse.num_queries, step_targets
        return IamsbOutputs(streams[0], streams[1], witness, weights, num_queries, num_steps, *targets)

    def read(self, batch: Batch, noise: Noise) -> list[tuple[StreamMemory, DenseOutputs]]:
        """What the bridges read of either stream, and its dense head's say."""
        necks = [network.neck for network in self.stream_networks()]
        cells = [neck.features(batch.stream(modality), noise) for neck, modality in zip(necks, STREAMS, strict=True)]
        return [
            neck(batch.stream(modality), own, other, batch.duration_seconds, noise)
            for neck, modality, own, other in zip(necks, STREAMS, cells, reversed(cells), strict=True)
        ]

    def losses(self, outputs: IamsbOutputs, batch: Batch) -> dict[str, Tensor]:
        """Every term of section 6 by name, unweighted; `total` is their weighted sum."""
        return total_loss(outputs, batch, self.config.loss)

    @torch.no_grad()
    def propose(self, outputs: IamsbOutputs, batch: Batch) -> list[ClipProposals]:
        """Per-stream lists after soft-NMS, their fused union, and the evidence."""
        return clip_proposals(outputs, batch, self.config.output, [one.ranking for one in self.stream_networks()])

    @torch.no_grad()
    def fit_scores(self, batches: Iterable[Batch]) -> None:
        """Fit each stream's ranking; a stream with too little to learn from keeps what it has."""
        found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in STREAMS]
        for batch in batches:
            outputs = self(batch)
            for place, modality in enumerate(STREAMS):
                stream = outputs.stream(modality)
                segments, features = claims(stream, batch, self.config.output)
                truth, exists = padded_truth(batch.stream(modality).truth, segments.device)
                best = (pairwise_tiou(segments, truth) * exists[:, None]).amax(dim=-1)
                found[place].append((features[stream.present].flatten(0, 1), hit_share(best[stream.present]).flatten()))
        for network, told in zip(self.stream_networks(), found, strict=True):
            if told:
                network.ranking.fit(*(torch.cat(parts) for parts in zip(*told, strict=True)))

    @torch.no_grad()
    def explain(self, outputs: IamsbOutputs, batch: Batch) -> list[dict[str, Any]]:
        """`cells` and `trajectories` of each stream, `budget_reason`, and `matches` of the coupling of two streams."""
        weight = 0.0 if self.witness is None else float(self.witness.energy_share)
        told = []
        for row, seconds in enumerate(batch.duration_seconds.tolist()):
            record: dict[str, Any] = {
                "cells": cell_scores(outputs, row, seconds),
                "trajectories": boundary_paths(outputs, row, seconds),
                "budget_reason": budget_reason(outputs, row, weight),
            }
            if self.witness is not None and bool(outputs.audio.present[row]) and bool(outputs.visual.present[row]):
                sound, picture = outputs.audio.candidates, outputs.visual.candidates
                coupling, cost, _ = self.witness.couple(sound, picture)
                pair = sound.segments[row] * seconds, picture.segments[row] * seconds
                record["matches"] = top_matches(coupling.plan[row], cost[row], *pair)
            told.append(record)
        return told

    def fit_normalisation(self, batches: Iterable[Batch]) -> None:
        """One pass over the batches sets every track's mean and deviation."""
        fit_standardisation(list(self._standardised()), batches)

    def stream_networks(self) -> list[StreamNetwork]:
        """Audio's and visual's."""
        return [cast(StreamNetwork, network) for network in self.networks]

    def _standardised(self) -> Iterator[StandardisedTrack]:
        for modality, network in zip(STREAMS, self.stream_networks(), strict=True):
            yield from network.neck.features.tracks(modality)

    @torch.no_grad()
    def _step_targets(
        self, read: Sequence[tuple[StreamMemory, DenseOutputs]], coarse: Sequence[StepTrace]
    ) -> list[int]:
        """S_tgt of each clip: in training the same of all, at inference the floors for a clip that looks genuine."""
        budget, num_clips = self.config.budget, len(read[0][0].present)
        if self.training or not budget.quiet_probability:
            return [budget.num_steps] * num_clips
        genuine = torch.ones(num_clips, device=read[0][0].present.device)
        for network, (memory, dense), trace in zip(self.stream_networks(), read, coarse, strict=True):
            genuine = genuine * (1.0 - network.calibrated_logit(trace, dense).sigmoid() * memory.present)
        quiet = 1.0 - genuine < budget.quiet_probability
        least = budget.step_floor * sum(memory.present for memory, _ in read)
        return torch.where(quiet, least, budget.num_steps).tolist()

    def _budgets(
        self, weights: Tensor, present: Tensor, step_targets: list[int]
    ) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """(N^a, N^v) and (S^a, S^v) of each clip; nothing without a refinement bridge to spend it."""
        shares, here, budget = weights.detach().double().tolist(), present.tolist(), self.config.budget
        if not self.config.refines:
            return [(0, 0)] * len(here), [(0, 0)] * len(here)
        return (
            stream_budgets([self.config.coarse.num_queries] * len(here), shares, here, budget.query_floor),
            stream_budgets(step_targets, shares, here, budget.step_floor),
        )


def _selection(own: QueryState, witnesses: Witnesses | None, num_queries: list[int], noise: Noise) -> Selection:
    """By the coupling's row mass, or by confidence without a coupling."""
    priority = own.logits.sigmoid() if witnesses is None else witnesses.mass
    return select(priority, num_queries, noise)


def _even_weights(present: Tensor) -> Tensor:
    """(B, 2): the same for every stream that is there."""
    return present / present.sum(dim=1, keepdim=True).clamp_min(1)
