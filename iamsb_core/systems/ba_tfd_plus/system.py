"""The boundary-matching system behind the system contract.

Shapes: B clips, L cells of a stream, J cells of the joint grid (the picture's), D durations, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams
from iamsb_core.localization.nms import soft_nms_clips
from iamsb_core.localization.proposals import ClipProposals, Proposals
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.systems.ba_tfd_plus.config import PRESETS, BaTfdConfig
from iamsb_core.systems.ba_tfd_plus.losses import contrast_loss, frame_loss, map_loss, map_target
from iamsb_core.systems.ba_tfd_plus.maps import BoundaryMap, proposal_cells, proposals_inside
from iamsb_core.systems.base import System, register
from iamsb_core.systems.cells import Cells, covered, joint_grid
from iamsb_core.systems.convolution import MaskedConv
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.normalisation import fit_standardisation
from iamsb_core.systems.pyramid.attention import LocalAttention
from iamsb_core.systems.pyramid.layers import FeedForward


@dataclass(frozen=True)
class StreamMaps:
    """One stream on the joint grid."""

    cells: Tensor
    """(B, J, d), of unit length"""
    frame_logits: Tensor
    """(B, J)"""
    valid: Tensor
    """(B, J): False throughout for a clip without the stream"""
    logits: Tensor
    """(B, 3, J, D)"""
    weights: Tensor
    """(B, J, D) in (0, 1): how much this stream's map counts; 0 for a clip without the stream"""


@dataclass(frozen=True)
class BaTfdOutputs:
    """Both streams' maps and what they say together."""

    audio: StreamMaps
    visual: StreamMaps
    fused: Tensor
    """(B, 3, J, D) probabilities"""
    joint: Cells

    @property
    def streams(self) -> tuple[StreamMaps, StreamMaps]:
        return self.audio, self.visual


class StreamEncoder(nn.Module):
    """Convolutions and local attention on the stream's own grid, then the boundary map on the joint one."""

    def __init__(self, features: StreamInput, config: BaTfdConfig) -> None:
        super().__init__()
        dim = config.dim
        self.features, self.config = features, config
        self.project = nn.Linear(features.dim, dim)
        self.convolutions = nn.ModuleList(MaskedConv(dim, dim, 3) for _ in range(config.num_layers))
        self.attentions = nn.ModuleList(
            LocalAttention(dim, config.num_heads, config.window_cells) for _ in range(config.num_layers)
        )
        self.feed_forwards = nn.ModuleList(FeedForward(dim, config.expansion) for _ in range(config.num_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3 * config.num_layers + 1))
        self.frame = nn.Linear(dim, 1)
        self.map = BoundaryMap(dim + 1, config.maps)
        self.weight = nn.Linear(dim + 1, config.maps.num_durations)

    def forward(self, batch: StreamBatch, joint: Cells, noise: Noise) -> StreamMaps:
        """Everything on the joint grid."""
        own = self._encoded(batch, noise)
        x = own.at(joint)
        valid = joint.valid & own.valid.any(dim=1, keepdim=True)
        logits = self.frame(x)[..., 0].float()
        told = torch.cat([x, logits.sigmoid()[..., None]], dim=-1) * valid[..., None]
        here = valid.any(dim=1)[:, None, None]
        weights = self.weight(told).sigmoid().float() * here
        return StreamMaps(F.normalize(x.float(), dim=-1), logits, valid, self.map(told, valid), weights)

    def _encoded(self, batch: StreamBatch, noise: Noise) -> Cells:
        cells = self.features(batch, noise)
        valid, mask = cells.valid, cells.valid[..., None]
        x = self.project(cells.values)
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.config.dropout, x) * mask
        for place in range(self.config.num_layers):
            first, second, third = self.norms[3 * place : 3 * place + 3]
            x = x + F.gelu(self.convolutions[place](first(x) * mask, valid))
            inner = second(x)
            x = x + self.attentions[place](inner, inner, inner, valid) * mask
            x = x + self.feed_forwards[place](third(x)) * mask
        return Cells(self.norms[-1](x) * mask, valid, cells.hop_seconds)


@register
class BaTfdPlus(System[BaTfdOutputs]):
    """Boundary matching over all starts and durations, with memory linear in the clip's length."""

    name: ClassVar[str] = "ba-tfd-plus"
    config_type: ClassVar[type] = BaTfdConfig
    presets: ClassVar[Mapping[str, Callable[[], BaTfdConfig]]] = PRESETS
    config: BaTfdConfig

    def __init__(self, config: BaTfdConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        inputs = [StreamInput(streams.of(m), feature_masking=config.feature_masking) for m in STREAMS]
        self.encoders = nn.ModuleList(StreamEncoder(features, config) for features in inputs)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> BaTfdOutputs:
        """Randomness only in training, and only from the generator; none without one."""
        noise = Noise(generator if self.training else None)
        joint = joint_grid(batch.duration_seconds, batch.visual.hop_seconds, 1)
        audio, visual = (
            encoder(batch.stream(modality), joint, noise)
            for encoder, modality in zip(self.encoders, STREAMS, strict=True)
        )
        total = (audio.weights + visual.weights).clamp_min(1e-6)
        shares = [(maps.weights / total)[:, None] for maps in (audio, visual)]
        fused = shares[0] * audio.logits.sigmoid() + shares[1] * visual.logits.sigmoid()
        return BaTfdOutputs(audio, visual, fused, joint)

    def losses(self, outputs: BaTfdOutputs, batch: Batch) -> dict[str, Tensor]:
        """Every term by name, unweighted; `total` is their weighted sum."""
        config, num_durations = self.config.loss, self.config.maps.num_durations
        joint, length = outputs.joint, batch.duration_seconds / outputs.joint.hop_seconds
        cells = proposal_cells(joint.valid.shape[1], num_durations, length.device)
        both = tuple(torch.cat(pair) for pair in zip(batch.audio.truth, batch.visual.truth, strict=True))
        losses: dict[str, Tensor] = {}
        forged = torch.zeros_like(joint.valid)
        for modality, maps in zip(STREAMS, outputs.streams, strict=True):
            name, target = stream_name(modality), map_target(cells, batch.stream(modality).truth, length)
            frame = covered(batch.stream(modality).truth, joint.valid.shape[1], length)
            forged = forged | (frame > 0)
            inside = proposals_inside(maps.valid, num_durations)
            losses[f"{name}_map"] = map_loss(maps.logits, target, inside, config.positive_weight)
            losses[f"{name}_frame"] = frame_loss(maps.frame_logits, frame, maps.valid)
        target = map_target(cells, both, length)
        inside = proposals_inside(joint.valid, num_durations)
        losses["fused_map"] = map_loss(torch.logit(outputs.fused, eps=1e-6), target, inside, config.positive_weight)
        paired = outputs.audio.valid & outputs.visual.valid
        losses["contrast"] = contrast_loss(outputs.audio.cells, outputs.visual.cells, forged, paired, config)
        losses["total"] = (
            config.fused_map * losses["fused_map"]
            + config.stream_map * (losses["audio_map"] + losses["visual_map"]) / 2
            + config.frame * (losses["audio_frame"] + losses["visual_frame"]) / 2
            + config.contrast * losses["contrast"]
        )
        return losses

    @torch.no_grad()
    def propose(self, outputs: BaTfdOutputs, batch: Batch) -> list[ClipProposals]:
        """The best proposals of each map after soft-NMS; the clip's score is that of its best fused one."""
        seconds = batch.duration_seconds.tolist()
        audio, visual = (self._best(m.logits.sigmoid(), m.valid, seconds, outputs.joint) for m in outputs.streams)
        fused = self._best(outputs.fused, outputs.joint.valid, seconds, outputs.joint)
        here = [maps.valid.any(dim=1).tolist() for maps in outputs.streams]
        return [
            ClipProposals(
                video_id,
                seconds[row],
                audio[row],
                visual[row],
                fused[row],
                float(fused[row][0, 2]) if len(fused[row]) else 0.0,
                _why(outputs, row, (here[0][row], here[1][row])),
            )
            for row, video_id in enumerate(batch.video_ids)
        ]

    def fit_normalisation(self, batches: Iterable[Batch]) -> None:
        """One pass over the batches sets every track's mean and deviation."""
        pairs = zip(STREAMS, self.encoders, strict=True)
        tracks = [
            track for modality, encoder in pairs for track in cast(StreamEncoder, encoder).features.tracks(modality)
        ]
        fit_standardisation(tracks, batches)

    def _best(self, maps: Tensor, valid: Tensor, seconds: list[float], joint: Cells) -> list[Proposals]:
        config = self.config.output
        inside = proposals_inside(valid, maps.shape[-1])
        scores = (maps.mean(dim=1) * inside).flatten(1)
        best = scores.topk(min(config.num_candidates, scores.shape[1]), dim=1)
        cells = proposal_cells(joint.valid.shape[1], maps.shape[-1], maps.device).flatten(0, 1)[best.indices]
        table = torch.cat([cells * joint.hop_seconds, best.values[..., None]], dim=-1).cpu().numpy()
        clips = []
        for row, length in zip(table, seconds, strict=True):
            kept = row[row[:, 2] > 0.0]
            kept[:, :2] = kept[:, :2].clip(0.0, length)
            clips.append(kept[kept[:, 1] > kept[:, 0]])
        return soft_nms_clips(
            clips,
            sigma=config.sigma,
            min_score=0.0,
            max_proposals=config.max_proposals,
            method="width",
            width_tiou=config.width_tiou,
        )


def _why(outputs: BaTfdOutputs, row: int, here: tuple[bool, bool]) -> dict[str, Any]:
    names = [stream_name(modality) for modality in STREAMS]
    total = sum(float(maps.weights[row].mean()) for maps in outputs.streams)
    return {
        "present": dict(zip(names, here, strict=True)),
        "weights": {
            name: float(maps.weights[row].mean()) / total if total else 0.0
            for name, maps in zip(names, outputs.streams, strict=True)
        },
    }
