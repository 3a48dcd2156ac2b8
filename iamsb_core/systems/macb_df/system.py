"""MACB-DF behind the system contract.

Shapes: B clips, L cells, d width, M = 2 streams in the order of STREAMS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams
from iamsb_core.localization.frame_segments import frame_segments
from iamsb_core.localization.fusion import fuse_union_clips
from iamsb_core.localization.nms import soft_nms_clips
from iamsb_core.localization.proposals import ClipProposals, Proposals
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.processes import averaged, batch_rows
from iamsb_core.systems.base import System, register
from iamsb_core.systems.cells import Cells, joint_grid
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.macb_df.clusters import Clusters, FusionWeights
from iamsb_core.systems.macb_df.config import PRESETS, MacbConfig
from iamsb_core.systems.macb_df.contrast import AdaptiveTemperature, contrastive_loss
from iamsb_core.systems.macb_df.losses import system_losses
from iamsb_core.systems.macb_df.outputs import FrameAnswers, MacbOutputs
from iamsb_core.systems.macb_df.pareto import combine
from iamsb_core.systems.macb_df.streams import Fusion, Stage
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.normalisation import fit_standardisation


class StreamEntry(nn.Module):
    """One stream's features to d, and its clip's place in the contrastive space."""

    def __init__(self, features: StreamInput, config: MacbConfig) -> None:
        super().__init__()
        self.features, self.dropout = features, config.dropout
        self.project = nn.Linear(features.dim, config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.embed = nn.Linear(2 * config.dim, config.embedding_dim)

    def forward(self, batch: Any, noise: Noise) -> tuple[Cells, Tensor]:
        """Cells (B, L, d), and an embedding (B, e) of unit length: of the cells' mean and spread."""
        read = self.features(batch, noise)
        valid = read.valid
        x = self.norm(self.project(read.values))
        x = x * noise.keep((len(x), 1, x.shape[-1]), self.dropout, x) * valid[..., None]
        cells = Cells(x, valid, read.hop_seconds)
        mean = cells.mean()
        spread = ((x - mean[:, None]).square() * valid[..., None]).sum(dim=1) / valid.sum(1, keepdim=True).clamp_min(1)
        embedding = self.embed(torch.cat([mean, (spread + 1e-6).sqrt()], dim=-1))
        return cells, F.normalize(embedding.float(), dim=-1)


class FrameHead(nn.Module):
    """Forged or not: every cell, and the clip from the cells' mean and their most suspicious part."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.hidden, self.frame = nn.Linear(dim, dim), nn.Linear(dim, 1)
        self.clip = nn.Linear(2 * dim, 1)

    def forward(self, cells: Cells) -> FrameAnswers:
        """Logits of cells (B, L) and clips (B,)."""
        x = F.gelu(self.hidden(self.norm(cells.values)))
        logits = self.frame(x)[..., 0].float()
        attention = logits.masked_fill(~cells.valid, -1e4).softmax(dim=1)[..., None]
        seen = x * cells.valid[..., None]
        mean = seen.sum(dim=1) / cells.valid.sum(dim=1, keepdim=True).clamp_min(1)
        clip = self.clip(torch.cat([mean, (attention * seen).sum(dim=1)], dim=-1))[..., 0].float()
        return FrameAnswers(logits, cells.valid, cells.hop_seconds, clip)


@register
class MacbDf(System[MacbOutputs]):
    """The multiscale adaptive conflict-balancing model (arXiv 2505.12966), for frame-aligned features."""

    name: ClassVar[str] = "macb-df"
    config_type: ClassVar[type] = MacbConfig
    presets: ClassVar[Mapping[str, Callable[[], MacbConfig]]] = PRESETS
    config: MacbConfig

    def __init__(self, config: MacbConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        inputs = [StreamInput(streams.of(m), feature_masking=config.feature_masking) for m in STREAMS]
        self.entries = nn.ModuleList(StreamEntry(features, config) for features in inputs)
        self.stages = nn.ModuleList(Stage(config) for _ in range(config.num_stages))
        self.fusions = nn.ModuleList(Fusion(config) for _ in range(config.num_stages))
        self.heads = nn.ModuleList(FrameHead(config.dim) for _ in range(3))
        self.temperature = AdaptiveTemperature(config.temperature)
        self.clusters = Clusters(config.embedding_dim, config.clusters)
        self.fusion_weights = FusionWeights(config.clusters)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> MacbOutputs:
        """Randomness only in training, and only from the generator; none without one."""
        noise = Noise(generator if self.training else None)
        read = [entry(batch.stream(m), noise) for entry, m in zip(self.entries, STREAMS, strict=True)]
        cells, embeddings = [one[0] for one in read], torch.stack([one[1] for one in read], dim=1)
        present = torch.stack([one.valid.any(dim=1) for one in cells], dim=1)
        distances = self.clusters.distances(embeddings)
        weights = self.fusion_weights(distances, present)
        joint = joint_grid(batch.duration_seconds, batch.visual.hop_seconds, self.config.dim)
        for stage, fusion in zip(self.stages, self.fusions, strict=True):
            cells = stage(cells, joint, noise.keep((len(batch), 1, 1), self.config.dropout, joint.values))
            joint = fusion(joint, cells, weights)
        audio, visual, fused = (head(one) for head, one in zip(self.heads, [*cells, joint], strict=True))
        return MacbOutputs(audio, visual, fused, embeddings, present, distances, weights)

    def losses(self, outputs: MacbOutputs, batch: Batch) -> dict[str, Tensor]:
        """Every term by name. In training the clusters and the temperature take the batch in."""
        forged = batch_rows(torch.stack([batch.stream(modality).forged for modality in STREAMS], dim=1))
        embeddings, present = batch_rows(outputs.embeddings), batch_rows(outputs.present)
        both = present.all(dim=1)
        audio, visual = embeddings[both].unbind(dim=1)
        genuine = ~forged[both].any(dim=1)
        contrast, at = contrastive_loss(audio, visual, genuine, self.temperature, learn=self.training)
        if self.training:
            self.clusters.observe(embeddings.detach(), forged, present)
        losses = system_losses(outputs, batch, contrast, self.config.loss)
        return losses | {"temperature": at.detach()}

    def backward(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Gradients by OM-Pareto in each stream's own layers, plain ones elsewhere; the cosines found."""
        own = [self._own_parameters(place) for place in range(len(STREAMS))]
        held = {id(weight) for weights in own for weight in weights}
        others = [weight for weight in self.parameters() if weight.requires_grad and id(weight) not in held]
        unimodal = losses["unimodal_audio"] + losses["unimodal_visual"]
        every = [*own[0], *own[1], *others]
        of_fused = _gradients(losses["multimodal"], every, keep_graph=True)
        of_streams = _gradients(unimodal, every, keep_graph=False)
        cosines, first = {}, 0
        for modality, weights in zip(STREAMS, own, strict=True):
            part = slice(first, first + len(weights))
            found, cosine = combine(of_fused[part], of_streams[part], self.config.pareto)
            cosines[f"gradient_cosine_{stream_name(modality)}"] = cosine
            first += len(weights)
            _set_gradients(weights, found)
        _set_gradients(others, [a + b for a, b in zip(of_fused[first:], of_streams[first:], strict=True)])
        return cosines

    @torch.no_grad()
    def propose(self, outputs: MacbOutputs, batch: Batch) -> list[ClipProposals]:
        """Runs of suspicious cells of each stream after soft-NMS, their fused union, and why."""
        config, seconds = self.config.output, batch.duration_seconds.tolist()
        audio, visual = (self._proposals(answers, seconds) for answers in outputs.streams)
        fused = fuse_union_clips(audio, visual, sigma=config.fusion_sigma, max_proposals=config.max_proposals)
        here = outputs.present.any(dim=1)
        scores = (outputs.fused.clip_logit.sigmoid() * here).tolist()
        return [
            ClipProposals(video_id, seconds[row], audio[row], visual[row], fused[row], scores[row], _why(outputs, row))
            for row, video_id in enumerate(batch.video_ids)
        ]

    def fit_normalisation(self, batches: Iterable[Batch]) -> None:
        """One pass over the batches sets every track's mean and deviation."""
        pairs = zip(STREAMS, self.entries, strict=True)
        tracks = [track for modality, entry in pairs for track in cast(StreamEntry, entry).features.tracks(modality)]
        fit_standardisation(tracks, batches)

    def _own_parameters(self, place: int) -> list[nn.Parameter]:
        """Of what only this stream passes through before it is fused."""
        modules = [self.entries[place], *(cast(Stage, stage).blocks[place] for stage in self.stages)]
        return [weight for module in modules for weight in module.parameters() if weight.requires_grad]

    def _proposals(self, answers: FrameAnswers, seconds: list[float]) -> list[Proposals]:
        scores = answers.logits.sigmoid().cpu().numpy()
        counts = answers.valid.sum(dim=1).tolist()
        found = [
            frame_segments(row[:count], answers.hop_seconds, length)
            for row, count, length in zip(scores, counts, seconds, strict=True)
        ]
        return soft_nms_clips(
            found, sigma=self.config.output.sigma, max_proposals=self.config.output.max_proposals, min_score=0.0
        )


def _gradients(loss: Tensor, weights: list[nn.Parameter], *, keep_graph: bool) -> list[Tensor]:
    """One for each weight, of the whole batch; zeros where the loss does not depend on it."""
    found = torch.autograd.grad(loss, weights, retain_graph=keep_graph, allow_unused=True)
    return averaged([torch.zeros_like(w) if part is None else part for w, part in zip(weights, found, strict=True)])


def _set_gradients(weights: list[nn.Parameter], gradients: list[Tensor]) -> None:
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient


def _why(outputs: MacbOutputs, row: int) -> dict[str, Any]:
    names = [stream_name(modality) for modality in STREAMS]
    clusters = ("genuine", "forged")
    return {
        "present": dict(zip(names, outputs.present[row].tolist(), strict=True)),
        "weights": dict(zip(names, outputs.weights[row].tolist(), strict=True)),
        "cluster_distances": {
            name: dict(zip(clusters, outputs.distances[row, place].tolist(), strict=True))
            for place, name in enumerate(names)
        },
        "stream_scores": {
            name: float(answers.clip_logit[row].sigmoid()) * float(answers.present[row])
            for name, answers in zip(names, outputs.streams, strict=True)
        },
    }
