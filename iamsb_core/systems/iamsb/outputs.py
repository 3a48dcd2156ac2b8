"""What the forward pass leaves for the losses and the proposals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from iamsb_core.manifest import Modality
from iamsb_core.systems.iamsb.dense import DenseOutputs
from iamsb_core.systems.iamsb.selection import Selection
from iamsb_core.systems.iamsb.state import QueryState, StepTrace
from iamsb_core.systems.iamsb.witness import Witnesses, WitnessOutputs


@dataclass(frozen=True)
class StreamOutputs:
    """One stream through all bridges."""

    present: Tensor
    """(B,) bool"""
    dense: DenseOutputs
    coarse: StepTrace
    """one step that only scores the interval prior where the coarse bridge is switched off"""
    selection: Selection | None
    refined: StepTrace | None
    """None where the refinement bridge is switched off"""
    calibrated_logit: Tensor
    """(B,): the stream's best confidence, as the logit of a calibrated probability"""

    @property
    def candidates(self) -> QueryState:
        """All N_ev queries, before selection."""
        return self.coarse.final

    @property
    def bridges(self) -> list[StepTrace]:
        """Those that ran, in order."""
        return [self.coarse] if self.refined is None else [self.coarse, self.refined]


@dataclass(frozen=True)
class IamsbOutputs:
    """Both streams, and what joined them."""

    audio: StreamOutputs
    visual: StreamOutputs
    witness: WitnessOutputs | None
    weights: Tensor
    """(B, 2)"""
    num_queries: list[tuple[int, ...]]
    """(audio, visual) of each clip"""
    num_steps: list[tuple[int, ...]]
    query_target: int
    step_targets: list[int]
    """S_tgt of each clip, or what a quiet one takes instead"""

    def stream(self, modality: Modality) -> StreamOutputs:
        return self.audio if modality is Modality.AUDIO else self.visual

    def witnesses(self, modality: Modality) -> Witnesses | None:
        if self.witness is None:
            return None
        return self.witness.audio if modality is Modality.AUDIO else self.witness.visual
