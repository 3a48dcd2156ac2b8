"""Everything of one stream: neck, interval prior, coarse and refinement bridge, calibration.

Shapes: B clips, N queries, M selected queries, k witnesses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.encoders.base import StreamSpec
from iamsb_core.systems.iamsb.coarse import CoarseBridge, IntervalPrior
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs, pooled_scores
from iamsb_core.systems.iamsb.heads import jittered
from iamsb_core.systems.iamsb.memory import StreamMemory
from iamsb_core.systems.iamsb.neck import StreamNeck
from iamsb_core.systems.iamsb.outputs import StreamOutputs
from iamsb_core.systems.iamsb.ranking import ProposalRanking
from iamsb_core.systems.iamsb.refinement import RefinementBridge, RunningClips, WitnessMemory
from iamsb_core.systems.iamsb.selection import Selection
from iamsb_core.systems.iamsb.state import QueryState, StepTrace
from iamsb_core.systems.iamsb.witness import Witnesses
from iamsb_core.systems.noise import Noise

_LEAST_SCORE = 1e-6


class StreamNetwork(nn.Module):
    """The streams share no parameters but the witness bridge's."""

    def __init__(self, stream: StreamSpec, other_dim: int, config: IamsbConfig) -> None:
        super().__init__()
        self.config = config
        self.neck = StreamNeck(stream, other_dim, config)
        self.prior = IntervalPrior(config)
        self.coarse = CoarseBridge(config)
        self.refinement = RefinementBridge(config, stream.fine_dim > 0) if config.use_refinement else None
        self.calibration = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.ranking = ProposalRanking()

    def candidates(self, memory: StreamMemory, dense: DenseOutputs, noise: Noise) -> StepTrace:
        """From the interval prior to all N_ev queries."""
        trace: StepTrace = self.coarse(self.prior(memory, dense, noise), memory)
        return trace

    def refine(
        self,
        state: QueryState,
        selection: Selection,
        num_steps: list[int],
        memory: StreamMemory,
        *,
        witnesses: WitnessMemory | None,
        noise: Noise,
    ) -> StepTrace:
        """S_r^m steps, one number for each clip, of the selected queries."""
        assert self.refinement is not None
        selected = state.rows(selection.index)
        if not noise.silent:
            moved = noise.normal(tuple(selected.segments.shape), selected.segments)
            segments = jittered(selected.segments, moved, self.config.refinement.reference_jitter)
            selected = QueryState(selected.latents, segments, selected.logits)
        steps = torch.tensor(num_steps, device=memory.cells.device)
        trace: StepTrace = self.refinement(RunningClips(selected, selection.exists, steps, memory, witnesses))
        return trace

    def witness_memory(self, witnesses: Witnesses | None, selection: Selection, other: Tensor) -> WitnessMemory | None:
        """The selected queries' witnesses among the other stream's latents (B, N, d)."""
        if witnesses is None or self.refinement is None or self.refinement.witness_attention is None:
            return None
        rows = selection.index[..., None].expand(-1, -1, witnesses.index.shape[2])
        key, value = self.refinement.witness_attention.gather(other, witnesses.index.gather(1, rows))
        return WitnessMemory(key, value, witnesses.bias.gather(1, rows), witnesses.present)

    def outputs(
        self,
        memory: StreamMemory,
        dense: DenseOutputs,
        coarse: StepTrace,
        refinement: tuple[Selection, StepTrace] | None,
    ) -> StreamOutputs:
        """With the best pooled score of all candidates, calibrated by two trained scalars; its gradient stops there.

        Which queries are refined is drawn in training and not in evaluation, so the best refined one would be of
        another set there; only where the coarse bridge is switched off, the refined ones are all there is.
        """
        selection, refined = (None, None) if refinement is None else refinement
        last = coarse if refined is None or self.config.use_coarse else refined
        return StreamOutputs(memory.present, dense, coarse, selection, refined, self.calibrated_logit(last, dense))

    def calibrated_logit(self, trace: StepTrace, dense: DenseOutputs) -> Tensor:
        """(B,): the logit of the probability that the stream is forged."""
        logit: Tensor = self.calibration[0] * self._best(trace, dense) + self.calibration[1]
        return logit

    @torch.no_grad()
    def _best(self, trace: StepTrace, dense: DenseOutputs) -> Tensor:
        """(B,): the logit of the best pooled score, in float32."""
        confidence = trace.final.logits.float().sigmoid()
        scores = pooled_scores(confidence, dense, trace.final.segments, self.config.output.evidence_weight)
        best = scores.masked_fill(~trace.queries, 0.0).amax(dim=1)
        return torch.logit(best, eps=_LEAST_SCORE)
