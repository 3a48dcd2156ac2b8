"""The temporal neck: standardised frozen features to d, through depthwise convolution and windowed attention.

Cost is linear in L and no resolution is lost. Shapes: B clips, L cells, D feature dim, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import StreamBatch
from iamsb_core.encoders.base import StreamSpec
from iamsb_core.systems.attention import key_bias, split_heads
from iamsb_core.systems.iamsb.attention import WindowedAttention
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseHead, DenseOutputs
from iamsb_core.systems.iamsb.memory import StreamMemory, Track
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.normalisation import Standardise
from iamsb_core.systems.padding import align_left
from iamsb_core.systems.sampling import sinusoids


class NeckBlock(nn.Module):
    """Depthwise convolution, windowed attention and feed-forward, each a residual."""

    def __init__(self, config: IamsbConfig) -> None:
        super().__init__()
        dim, neck = config.dim, config.neck
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.convolution = nn.Conv1d(dim, dim, neck.kernel_cells, padding=neck.kernel_cells // 2, groups=dim)
        self.attention = WindowedAttention(dim, config.num_heads, neck.window_cells)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, neck.expansion * dim), nn.GELU(), nn.Linear(neck.expansion * dim, dim)
        )

    def forward(self, x: Tensor, valid: Tensor, keep: Tensor) -> Tensor:
        """x (B, L, d), keep (B, 1, 1): 0 skips the block for a clip."""
        mask = valid[..., None] * keep
        x = x + mask * self.convolution((self.norms[0](x) * valid[..., None]).mT).mT
        x = x + mask * self.attention(self.norms[1](x), valid)
        return torch.addcmul(x, mask, self.feed_forward(self.norms[2](x)))


class StreamNeck(nn.Module):
    """From one stream of a batch to the memory that every bridge reads, and the dense head's say."""

    def __init__(self, stream: StreamSpec, config: IamsbConfig) -> None:
        super().__init__()
        dim, neck = config.dim, config.neck
        self.stream, self.config = stream, config
        self.standardise = Standardise(stream.dim)
        self.project = nn.Linear(stream.dim, dim)
        self.blocks = nn.ModuleList(NeckBlock(config) for _ in range(neck.num_blocks))
        self.norm = nn.LayerNorm(dim)
        self.dense = DenseHead(dim)
        self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.edge = nn.Linear(dim, neck.edge_dim)
        self.fine_standardise = Standardise(stream.fine_dim) if stream.fine_dim else None
        self.fine = FineTrunk(stream.fine_dim, config.refinement.fine_dim) if stream.fine_dim else None

    def forward(self, batch: StreamBatch, duration_seconds: Tensor, noise: Noise) -> tuple[StreamMemory, DenseOutputs]:
        """Raises ValueError where the batch's features are not those that the system was built for."""
        self._check(batch)
        values, valid = align_left(batch.values, batch.valid)
        cells = self.norm(self._trunk(self.standardise(values, valid), valid, noise)) * valid[..., None]
        length_cells = duration_seconds.float() / batch.hop_seconds
        dense = self.dense(cells, valid, length_cells)
        memory = self._memory(cells, valid, duration_seconds.float(), dense)
        if self.fine is None:
            return memory, dense
        return self._with_fine(memory, batch, duration_seconds), dense

    def _check(self, batch: StreamBatch) -> None:
        dim, fine_dim = batch.values.shape[-1], 0 if batch.fine_values is None else batch.fine_values.shape[-1]
        if dim != self.stream.dim or (self.stream.fine_dim and fine_dim != self.stream.fine_dim):
            raise ValueError(
                f"this system reads features of {self.stream.dim} dims (fine track {self.stream.fine_dim}), got {dim} "
                f"(fine track {fine_dim}); extract with the encoders that the model was trained on"
            )

    def _trunk(self, x: Tensor, valid: Tensor, noise: Noise) -> Tensor:
        neck, num_clips = self.config.neck, len(x)
        x = x * noise.keep((num_clips, 1, x.shape[-1]), neck.feature_masking, x)
        x = self.project(x)
        x = x * noise.keep((num_clips, 1, x.shape[-1]), neck.dropout, x) * valid[..., None]
        for block in self.blocks:
            x = block(x, valid, noise.keep((num_clips, 1, 1), neck.dropout, x))
        return x

    def _memory(self, cells: Tensor, valid: Tensor, duration_seconds: Tensor, dense: DenseOutputs) -> StreamMemory:
        heads = self.config.num_heads
        edges = torch.cat(
            [self.edge(cells), dense.start_logits[..., None] / 4.0, dense.end_logits[..., None] / 4.0], -1
        )
        return StreamMemory(
            cells=cells,
            key=split_heads(self.key(cells + sinusoids(dense.centres, self.config.dim)), heads),
            value=split_heads(self.value(cells), heads),
            bias=key_bias(valid),
            valid=valid,
            edges=Track(edges, valid.sum(dim=1), dense.length_cells),
            fine=None,
            present=valid.any(dim=1),
            duration_seconds=duration_seconds,
        )

    def _with_fine(self, memory: StreamMemory, batch: StreamBatch, duration_seconds: Tensor) -> StreamMemory:
        assert batch.fine_values is not None
        assert batch.fine_valid is not None
        assert self.fine is not None
        assert self.fine_standardise is not None
        values, valid = align_left(batch.fine_values, batch.fine_valid)
        values = self.fine(self.fine_standardise(values, valid), valid)
        track = Track(values, valid.sum(dim=1), duration_seconds.float() / batch.fine_hop_seconds)
        return StreamMemory(**{**memory.__dict__, "fine": track})


class FineTrunk(nn.Module):
    """The fine track, read only locally: a projection and one convolution."""

    def __init__(self, stream_dim: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(stream_dim, dim)
        self.convolution = nn.Conv1d(dim, dim, 5, padding=2)

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """(B, L_fine, D_fine) -> (B, L_fine, f)."""
        x = nn.functional.gelu(self.project(values)) * valid[..., None]
        return x + self.convolution(x.mT).mT * valid[..., None]  # type: ignore[no-any-return]
