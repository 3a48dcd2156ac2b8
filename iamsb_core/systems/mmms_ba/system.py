"""MMMS-BA behind the system contract.

Shapes: B clips, J cells of the joint grid (the picture's), d width, D features of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.systems.base import register
from iamsb_core.systems.cells import Cells, joint_grid
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.mmms_ba.attention import across, bimodal, num_found, within
from iamsb_core.systems.mmms_ba.config import PRESETS, SEQUENCES, MmmsBaConfig, SequenceName
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.heads import DualHead
from iamsb_core.systems.pyramid.levels import Level
from iamsb_core.systems.pyramid.system import PyramidOutputs, PyramidSystem

_ATTENTION = {"mmms-ba": bimodal, "mmus-sa": across, "ms-sa": within}


class Sequence(nn.Module):
    """One modality: a bidirectional GRU over the clip's own cells, then a dense layer with tanh."""

    def __init__(self, num_features: int, config: MmmsBaConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.recurrent = nn.GRU(num_features, config.hidden_dim, batch_first=True, bidirectional=True)
        self.dense = nn.Linear(2 * config.hidden_dim, config.dim)

    def forward(self, x: Tensor, valid: Tensor, noise: Noise) -> Tensor:
        """(B, J, D) -> (B, J, d), zero where not valid; padding is never run through."""
        lengths = valid.sum(dim=1).clamp_min(1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=x.shape[1])
        read = read * noise.keep((len(x), 1, read.shape[-1]), self.dropout, read)
        dense = torch.tanh(self.dense(read))
        return dense * noise.keep((len(x), 1, dense.shape[-1]), self.dropout, dense) * valid[..., None]


@register
class MmmsBa(PyramidSystem):
    """Multi-modal multi-sequence bi-modal attention (Katamneni and Rattani, IJCB 2024), re-stated."""

    name: ClassVar[str] = "mmms-ba"
    config_type: ClassVar[type] = MmmsBaConfig
    presets: ClassVar[Mapping[str, Callable[[], MmmsBaConfig]]] = PRESETS
    config: MmmsBaConfig

    def __init__(self, config: MmmsBaConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        self.names = _modalities(config, streams)
        inputs = [StreamInput(streams.of(m), feature_masking=config.feature_masking) for m in STREAMS]
        self.stream_inputs = nn.ModuleList(inputs)
        dims = {"audio": inputs[0].dim, "face": streams.visual.dim, "lips": inputs[1].dim - streams.visual.dim}
        self.sequences = nn.ModuleDict({name: Sequence(dims[name], config) for name in self.names})
        width = config.dim * (num_found(config.mode, self.names) + len(self.names))
        self.joins = nn.ModuleList(nn.Sequential(nn.Linear(width, config.head_dim), nn.ReLU()) for _ in STREAMS)
        self.heads = nn.ModuleList(DualHead(config.head_dim, 1, config.num_head_layers) for _ in STREAMS)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> PyramidOutputs:
        """Randomness only in training, and only from the generator; none without one."""
        noise = Noise(generator if self.training else None)
        joint = joint_grid(batch.duration_seconds, batch.visual.hop_seconds, 1)
        features, seen = self._features(batch, joint, noise)
        read = {name: cast(Sequence, self.sequences[name])(features[name], seen[name], noise) for name in self.names}
        found = _ATTENTION[self.config.mode](read, {name: seen[name] for name in self.names})
        told = torch.cat([*found, *read.values()], dim=-1)
        length_cells = batch.duration_seconds.float() / joint.hop_seconds
        answers = []
        for modality, join, head in zip(STREAMS, self.joins, self.heads, strict=True):
            values = join(told) * joint.valid[..., None]
            present = batch.stream(modality).present
            answers.append(head([Level(values, joint.valid, 1)], length_cells, present))
        return PyramidOutputs(*answers)

    def inputs(self) -> Iterator[tuple[Modality, StreamInput]]:
        """Each stream's."""
        for modality, stream_input in zip(STREAMS, self.stream_inputs, strict=True):
            yield modality, cast(StreamInput, stream_input)

    def _features(
        self, batch: Batch, joint: Cells, noise: Noise
    ) -> tuple[dict[SequenceName, Tensor], dict[SequenceName, Tensor]]:
        """Every modality's features on the joint grid (B, J, D), and where it is there (B, J)."""
        read = {modality: stream_input(batch.stream(modality), noise) for modality, stream_input in self.inputs()}
        audio, visual = (read[modality].at(joint) for modality in STREAMS)
        heard, looked = (joint.valid & read[modality].valid.any(dim=1, keepdim=True) for modality in STREAMS)
        num_face = self.streams.visual.dim
        features = {"audio": audio, "face": visual[..., :num_face], "lips": visual[..., num_face:]}
        seen = {"audio": heard, "face": looked, "lips": looked}
        return cast("dict[SequenceName, Tensor]", features), cast("dict[SequenceName, Tensor]", seen)


def _modalities(config: MmmsBaConfig, streams: Streams) -> tuple[SequenceName, ...]:
    """Those the system reads. Raises ValueError where lips are wanted and the features have none."""
    has_lips = streams.visual.fine_dim > 0
    if config.modalities is None:
        return SEQUENCES if has_lips else SEQUENCES[:2]
    if "lips" in config.modalities and not has_lips:
        raise ValueError(
            "the features have no lips; extract with encoders that crop them, such as `handcrafted-lips`, or set "
            "modalities to audio and face"
        )
    return config.modalities
