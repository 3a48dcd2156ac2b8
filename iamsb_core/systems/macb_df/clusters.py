"""Cluster-aware fusion weights: how sure each stream is, from its distances to what genuine and forged look like.

Paper, mechanism 2. Shapes: B clips, M = 2 streams, C = 2 clusters (genuine, forged), e embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.systems.macb_df.config import ClusterConfig

_TINY = 1e-6
_FLOOR_VARIANCE = 1e-3


class Clusters(nn.Module):
    """Running means and variances of every stream's genuine and forged clips."""

    def __init__(self, embedding_dim: int, config: ClusterConfig) -> None:
        super().__init__()
        self.config = config
        self.centres: Tensor
        self.variances: Tensor
        self.seen: Tensor
        shape = (2, 2, embedding_dim)
        self.register_buffer("centres", torch.zeros(shape))
        self.register_buffer("variances", torch.full(shape, 1.0 / embedding_dim))
        self.register_buffer("seen", torch.zeros(2, 2, dtype=torch.bool))

    @torch.no_grad()
    def observe(self, embeddings: Tensor, forged: Tensor, present: Tensor) -> None:
        """Move towards a batch: embeddings (B, M, e), forged and present (B, M)."""
        keep = self.config.momentum
        for stream in range(2):
            for cluster in range(2):
                chosen = present[:, stream] & (forged[:, stream] == bool(cluster))
                if not bool(chosen.any()):
                    continue
                values = embeddings[chosen, stream].float()
                pull = 1.0 - keep if bool(self.seen[stream, cluster]) else 1.0
                self.centres[stream, cluster].lerp_(values.mean(dim=0), pull)
                spread = (values - self.centres[stream, cluster]).square().mean(dim=0)
                self.variances[stream, cluster].lerp_(spread, pull)
                self.seen[stream, cluster] = True

    def distances(self, embeddings: Tensor) -> Tensor:
        """(B, M, e) -> (B, M, C): a share of the Mahalanobis distance (diagonal, per dimension) and of the cosine's."""
        apart = embeddings.float()[:, :, None] - self.centres
        mahalanobis = (apart.square() / (self.variances + _FLOOR_VARIANCE)).mean(dim=-1).add(_TINY).sqrt()
        alike = nn.functional.cosine_similarity(embeddings.float()[:, :, None], self.centres[None], dim=-1)
        share = self.config.mahalanobis_share
        return share * mahalanobis + (1.0 - share) * (1.0 - alike)


class FusionWeights(nn.Module):
    """Attention over the streams' distances, and a softmax of what it says: how much each stream counts."""

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__()
        self.config = config
        self.token = nn.Linear(3, config.dim)
        self.stream = nn.Parameter(torch.zeros(2, config.dim))
        self.attention = nn.MultiheadAttention(config.dim, config.num_heads, batch_first=True)
        self.score = nn.Linear(config.dim, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, distances: Tensor, present: Tensor) -> Tensor:
        """Distances (B, M, C) and present (B, M) -> (B, M): sums to 1 over the streams that are there, else 0."""
        here = present.float()
        if not self.config.adaptive_weights:
            return here / here.sum(dim=1, keepdim=True).clamp_min(1.0)
        margin = distances[..., :1] - distances[..., 1:]
        tokens = self.token(torch.cat([distances, margin], dim=-1)) + self.stream
        hidden = ~present & present.any(dim=1, keepdim=True)  # attention to nothing at all would be no number
        tokens = tokens + self.attention(tokens, tokens, tokens, key_padding_mask=hidden, need_weights=False)[0]
        scores = self.score(tokens)[..., 0].float().masked_fill(~present, -1e4)
        weights: Tensor = scores.softmax(dim=1) * here
        return weights
