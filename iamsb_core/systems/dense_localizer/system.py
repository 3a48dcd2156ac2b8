"""The dense localiser behind the system contract: one localiser for each stream, both reading both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, cast

import torch
from torch import nn

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.systems.base import register
from iamsb_core.systems.dense_localizer.config import PRESETS, DenseLocalizerConfig
from iamsb_core.systems.dense_localizer.network import StreamLocalizer
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.system import PyramidOutputs, PyramidSystem


@register
class DenseLocalizer(PyramidSystem):
    """Per-cell classification and boundary regression on a pyramid of windowed transformer blocks."""

    name: ClassVar[str] = "dense-localizer"
    config_type: ClassVar[type] = DenseLocalizerConfig
    presets: ClassVar[Mapping[str, Callable[[], DenseLocalizerConfig]]] = PRESETS
    config: DenseLocalizerConfig

    def __init__(self, config: DenseLocalizerConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        inputs = [
            StreamInput(streams.of(m), feature_masking=config.feature_masking, use_fine=config.use_fine)
            for m in STREAMS
        ]
        dims = [stream_input.dim for stream_input in inputs]
        self.stream_inputs = nn.ModuleList(inputs)
        self.localizers = nn.ModuleList(StreamLocalizer(own, other, config) for own, other in (dims, reversed(dims)))

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> PyramidOutputs:
        """Randomness only in training, and only from the generator; none without one."""
        noise = Noise(generator if self.training else None)
        audio, visual = (stream_input(batch.stream(modality), noise) for modality, stream_input in self.inputs())
        seconds, (hear, see) = batch.duration_seconds, self.localizers
        return PyramidOutputs(hear(audio, visual, seconds, noise), see(visual, audio, seconds, noise))

    def inputs(self) -> Iterator[tuple[Modality, StreamInput]]:
        """Each stream's, once for both localisers."""
        for modality, stream_input in zip(STREAMS, self.stream_inputs, strict=True):
            yield modality, cast(StreamInput, stream_input)
