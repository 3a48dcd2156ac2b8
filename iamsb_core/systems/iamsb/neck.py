"""The temporal neck: standardised frozen features to d, through depthwise convolution and windowed attention.

A cell reads its own main and fine features, and the other stream's at the same time: the bridges decide between
segments, and a segment that was moved in time looks right until it is held against the other stream. Cost is linear in
L and no resolution is lost. Shapes: B clips, L cells, D feature dim, d width.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from iamsb_core.data.batch import StreamBatch
from iamsb_core.encoders.base import StreamSpec
from iamsb_core.systems.attention import key_bias, split_heads
from iamsb_core.systems.cells import Cells
from iamsb_core.systems.convolution import Embedding
from iamsb_core.systems.iamsb.attention import WindowedAttention
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseHead, DenseOutputs
from iamsb_core.systems.iamsb.memory import StreamMemory, Track
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.noise import Noise
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

    def __init__(self, stream: StreamSpec, other_dim: int, config: IamsbConfig) -> None:
        """other_dim: features of a cell of the other stream (`StreamInput.dim`)."""
        super().__init__()
        dim, neck = config.dim, config.neck
        self.config = config
        self.features = StreamInput(stream, feature_masking=neck.feature_masking)
        self.embedding = Embedding(self.features.dim, dim, neck.num_embedding_layers)
        self.other: nn.Module | None = None
        if neck.cross_modal:
            self.other = nn.Sequential(nn.Linear(other_dim, dim), nn.LayerNorm(dim), nn.ReLU())
        self.blocks = nn.ModuleList(NeckBlock(config) for _ in range(neck.num_blocks))
        self.norm = nn.LayerNorm(dim)
        self.dense = DenseHead(dim)
        self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.edge = nn.Linear(dim, neck.edge_dim)
        self.fine = FineTrunk(stream.fine_dim, config.refinement.fine_dim) if stream.fine_dim else None

    def forward(
        self, batch: StreamBatch, own: Cells, other: Cells, duration_seconds: Tensor, noise: Noise
    ) -> tuple[StreamMemory, DenseOutputs]:
        """own and other: what `features` of this neck and of the other stream's read of the batch."""
        valid, seconds = own.valid, duration_seconds.float()
        cells = self.norm(self._trunk(own, other, noise)) * valid[..., None]
        dense = self.dense(cells, valid, seconds / own.hop_seconds)
        memory = self._memory(cells, valid, seconds, dense)
        fine = self.features.fine_track(batch)
        return (memory if fine is None else self._with_fine(memory, fine)), dense

    def _trunk(self, own: Cells, other: Cells, noise: Noise) -> Tensor:
        neck, num_clips = self.config.neck, len(own.values)
        x: Tensor = self.embedding(own.values, own.valid)
        if self.other is not None:
            seen = Cells(self.other(other.values), other.valid, other.hop_seconds).at(own)
            x = x + seen * noise.keep((num_clips, 1, 1), neck.cross_modal_drop, x)
        x = x * noise.keep((num_clips, 1, x.shape[-1]), neck.dropout, x)
        for block in self.blocks:
            x = block(x, own.valid, noise.keep((num_clips, 1, 1), neck.dropout, x))
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

    def _with_fine(self, memory: StreamMemory, fine: Cells) -> StreamMemory:
        assert self.fine is not None
        values, length = self.fine(fine.values, fine.valid), memory.duration_seconds / fine.hop_seconds
        return replace(memory, fine=Track(values, fine.valid.sum(dim=1), length))


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
