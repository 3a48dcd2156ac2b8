"""What every pyramid system does alike: losses of both streams, decoding, normalisation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from iamsb_core.data.batch import Batch
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.systems.base import System
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.normalisation import fit_standardisation
from iamsb_core.systems.pyramid.config import DecodingConfig, PyramidLossConfig, TargetConfig
from iamsb_core.systems.pyramid.decoding import clip_proposals
from iamsb_core.systems.pyramid.heads import StreamAnswers
from iamsb_core.systems.pyramid.losses import stream_losses


class PyramidConfig(Protocol):
    """What the configuration of a pyramid system has in any case."""

    @property
    def targets(self) -> TargetConfig: ...

    @property
    def loss(self) -> PyramidLossConfig: ...

    @property
    def decoding(self) -> DecodingConfig: ...


@dataclass(frozen=True)
class PyramidOutputs:
    """Both streams' answers."""

    audio: StreamAnswers
    visual: StreamAnswers

    def stream(self, modality: Modality) -> StreamAnswers:
        return self.audio if modality is Modality.AUDIO else self.visual


class PyramidSystem(System[PyramidOutputs]):
    """A system whose answers are those of a pyramid's cells."""

    config: PyramidConfig

    @abstractmethod
    def inputs(self) -> Iterator[tuple[Modality, StreamInput]]:
        """Where each stream's features enter."""

    def own_terms(self, outputs: PyramidOutputs, batch: Batch) -> dict[str, Tensor]:
        """Loss terms of the system's own, weighted."""
        del outputs, batch
        return {}

    def losses(self, outputs: PyramidOutputs, batch: Batch) -> dict[str, Tensor]:
        """Every term by name, unweighted but for a system's own; `total` is the weighted sum. In float32."""
        config = self.config.loss
        with torch.autocast(outputs.audio.logits.device.type, enabled=False):
            terms = {
                f"{name}_{stream}": value
                for stream, modality in (("audio", Modality.AUDIO), ("visual", Modality.VISUAL))
                for name, value in stream_losses(
                    outputs.stream(modality), batch.stream(modality).truth, self.config.targets, config
                ).items()
            }
            weights = {
                "classification": config.classification_weight,
                "regression": config.regression_weight,
                "calibration": config.calibration_weight,
            }
            weighted = [weights[name.split("_")[0]] * term for name, term in terms.items()]
            own = self.own_terms(outputs, batch)
            total = torch.stack([*weighted, *own.values()]).sum()
        return {"total": total, **terms, **own}

    @torch.no_grad()
    def propose(self, outputs: PyramidOutputs, batch: Batch) -> list[ClipProposals]:
        """Each stream's list after suppression, their fused list, and which cells say so."""
        return clip_proposals(outputs.audio, outputs.visual, batch, self.config.decoding)

    def fit_normalisation(self, batches: Iterable[Batch]) -> None:
        """One pass over the batches sets every track's mean and deviation."""
        fit_standardisation([track for m, features in self.inputs() for track in features.tracks(m)], batches)
