"""UMMAFormer behind the system contract: one pyramid over both streams, a head for each.

Shapes: B clips, L cells of the common clock, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.processes import batch_count
from iamsb_core.systems.base import register
from iamsb_core.systems.convolution import Embedding
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.heads import DualHead, StreamAnswers
from iamsb_core.systems.pyramid.levels import Level
from iamsb_core.systems.pyramid.losses import focal_loss
from iamsb_core.systems.pyramid.system import PyramidOutputs, PyramidSystem
from iamsb_core.systems.pyramid.top_down import TopDown
from iamsb_core.systems.pyramid.trunk import Trunk
from iamsb_core.systems.ummaformer.clock import JointCells, on_one_clock
from iamsb_core.systems.ummaformer.config import PRESETS, UmmaFormerConfig
from iamsb_core.systems.ummaformer.cross_levels import CrossLevels
from iamsb_core.systems.ummaformer.reconstruction import AbnormalAttention, Interpolator, reconstruction_error


@dataclass(frozen=True)
class UmmaFormerOutputs(PyramidOutputs):
    """Both streams' answers, and what is said of whole clips, (B,) each."""

    reconstruction_error: Tensor
    fake_logit: Tensor


@register
class UmmaFormer(PyramidSystem):
    """Reconstruction of real features, abnormal attention, parallel cross-attention pyramid."""

    name: ClassVar[str] = "ummaformer"
    config_type: ClassVar[type] = UmmaFormerConfig
    presets: ClassVar[Mapping[str, Callable[[], UmmaFormerConfig]]] = PRESETS
    schedules: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"epochs": 15, "warmup_share": 5 / 15, "batch_size": 32, "learning_rate": 1e-3},
    }
    config: UmmaFormerConfig

    def __init__(self, config: UmmaFormerConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        dim, recon = config.dim, config.reconstruction
        self.stream_inputs = nn.ModuleList(
            StreamInput(streams.of(m), feature_masking=config.feature_masking) for m in STREAMS
        )
        self.dims = cast(tuple[int, int], tuple(stream_input.dim for _, stream_input in self.inputs()))
        self.interpolator = Interpolator(sum(self.dims), recon.num_halvings, dim, recon.max_dim)
        self.embedding = Embedding(sum(self.dims), dim, config.num_embedding_layers)
        self.abnormal = AbnormalAttention(dim, config.num_heads, recon.window_cells, config.expansion)
        self.trunk = Trunk(
            dim,
            config.num_heads,
            config.window_cells,
            num_stem_blocks=config.num_stem_blocks,
            num_levels=config.num_levels,
            expansion=config.expansion,
            drop_share=config.drop_share,
            global_last=True,
        )
        self.cross_levels = CrossLevels(dim, config.num_heads, config.num_levels, config.window_cells)
        self.top_down = TopDown(dim, config.num_levels)
        self.heads = nn.ModuleList(DualHead(dim, config.num_levels, config.num_head_layers) for _ in STREAMS)
        self.fake = nn.Linear(dim, 1)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> UmmaFormerOutputs:
        """Randomness only in training, and only from the generator; none without one."""
        noise = Noise(generator if self.training else None)
        audio, visual = (stream_input(batch.stream(modality), noise) for modality, stream_input in self.inputs())
        cells = on_one_clock(audio, visual, batch.duration_seconds)
        reconstructed = self.interpolator(cells.values, cells.valid)
        x = self.embedding(cells.values, cells.valid)
        x = self.abnormal(x, self.embedding(reconstructed.detach(), cells.valid), cells.valid)
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.config.drop_share, x)
        levels = self.top_down(self.cross_levels(self.trunk(x, cells.valid, noise)))
        hear, see = self._answers(levels, cells, batch.duration_seconds.float() / cells.hop_seconds)
        error = reconstruction_error(cells.values, reconstructed, cells.known, self.dims)
        return UmmaFormerOutputs(hear, see, error, self._fake_logit(levels))

    def own_terms(self, outputs: PyramidOutputs, batch: Batch) -> dict[str, Tensor]:
        """`reconstruction` of the real clips, zero where a batch has none, and `fake`; both weighted."""
        assert isinstance(outputs, UmmaFormerOutputs)
        forged = batch.audio.forged | batch.visual.forged
        there = outputs.audio.present | outputs.visual.present
        real = ~forged & there
        error = (outputs.reconstruction_error * real).sum() / batch_count(real.sum())
        config = self.config.loss
        fake = focal_loss(
            outputs.fake_logit, forged.float(), forged, gamma=config.focal_gamma, alpha=config.focal_alpha
        )
        fake = (fake * there).sum() / batch_count(there.sum())
        return {
            "reconstruction": self.config.reconstruction.weight * error,
            "fake": self.config.clip_weight * fake,
        }

    @torch.no_grad()
    def propose(self, outputs: PyramidOutputs, batch: Batch) -> list[ClipProposals]:
        """As every pyramid system, with how badly the clip was reconstructed beside the other evidence."""
        assert isinstance(outputs, UmmaFormerOutputs)
        clips = super().propose(outputs, batch)
        errors, fake = outputs.reconstruction_error.tolist(), outputs.fake_logit.sigmoid().tolist()
        return [
            replace(
                clip,
                evidence={**clip.evidence, "reconstruction_error": errors[row], "fake_probability": fake[row]},
            )
            for row, clip in enumerate(clips)
        ]

    def inputs(self) -> Iterator[tuple[Modality, StreamInput]]:
        """Each stream's."""
        for modality, stream_input in zip(STREAMS, self.stream_inputs, strict=True):
            yield modality, cast(StreamInput, stream_input)

    def _answers(self, levels: list[Level], cells: JointCells, length_cells: Tensor) -> list[StreamAnswers]:
        """Each stream's; a stream that the clip does not have says nothing."""
        present = cells.known.any(dim=1).unbind(dim=1)
        return [head(levels, length_cells, there) for head, there in zip(self.heads, present, strict=True)]

    def _fake_logit(self, levels: list[Level]) -> Tensor:
        """(B,) from the mean over the coarsest level's cells."""
        last = levels[-1]
        mean = last.values.sum(dim=1) / last.valid.sum(dim=1, keepdim=True).clamp_min(1)
        return self.fake(mean)[:, 0].float()  # type: ignore[no-any-return]
