"""WavLM (Chen et al. 2022) through transformers: frozen, one hidden layer, on the 50 Hz grid.

Clock: row r of WavLM sees samples [320 r, 320 r + 400), whose centre lies 2.5 ms after the centre of cell r. Row r
is taken for cell r, and where the clip ends inside a window (10 s give 499 rows) the last cell takes the last row;
nothing is padded, so a clip's rows are the ones that transformers gives.

Long audio: the convolutions are computed piecewise with exactly the samples that they need, the statistics of
`do_normalize` and of group-norm front ends (base, base-plus) over the whole clip; so up to layer 0 the chunks equal
the whole. The transformer looks at a whole clip of up to 40 s; beyond that at runs of at most 20 s with 5 s of
context on both sides, whose rows are dropped.

Batches: on a GPU the transformer takes whole clips of like length together, padded and masked, so that a clip's rows
are the same but for rounding whatever is beside it. On a processor, where this would gain nothing, clips come alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iamsb_core.encoders.alignment import Chunk, buckets, chunks, on_grid
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.fused_attention import fuse_attention
from iamsb_core.encoders.passes import Passes
from iamsb_core.encoders.weights import load_frozen, read_config
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip
from iamsb_core.timeline import TimeGrid

VERSION = 1
HOP_SECONDS = 0.02
_HOP_SAMPLES = 320
_NORM_EPSILON = 1e-7
_GPU_BATCH_ROWS = 12_000
"""four minutes of sound: some 3 GiB of attention in bfloat16 where clips last 10 s"""


@dataclass(frozen=True, kw_only=True)
class ChunkPlan:
    """How much audio is looked at in one piece, in rows of 20 ms. The values below are part of VERSION."""

    whole_rows: int = 2000
    """clips of up to this many rows go through the transformer in one piece"""
    max_rows: int = 1000
    context_rows: int = 250
    front_end_rows: int = 500
    """rows of one pass through the convolutions, which bounds their memory"""
    batch_rows: int | None = None
    """rows, with the padding, that go through the transformer together; 0: each clip alone; None: as the device is"""
    max_padding: float = 0.1
    """share of a clip's rows in a batch that may be padding"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """(values - mean) / std."""

    mean: Tensor
    std: Tensor


class WavLMEncoder:
    """A frozen WavLM on a device."""

    def __init__(self, spec: EncoderSpec, folder: Path, device: torch.device, *, plan: ChunkPlan | None = None) -> None:
        self._spec, self._device = spec, device
        self._plan = ChunkPlan() if plan is None else plan
        on_device = _GPU_BATCH_ROWS if device.type == "cuda" else 0
        self._batch_rows = on_device if self._plan.batch_rows is None else self._plan.batch_rows
        self._front_end_passes = Passes(self._plan.front_end_rows)
        self._normalise = bool(read_config(folder, "preprocessor_config.json").get("do_normalize", False))
        self._dtype = getattr(torch, spec.dtype)
        self._model = _load(spec, folder).to(device=device, dtype=self._dtype)
        # a waveform in bfloat16 carries quantisation noise at -50 dB, so the convolutions stay in float32
        self._model.feature_extractor.float()
        self._field_samples = _receptive_field(self._model.config)

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def stream(self) -> StreamSpec:
        dim = int(self._model.config.hidden_size)
        return StreamSpec(encoder_identity=self._spec.identity, dim=dim, hop_seconds=HOP_SECONDS)

    @property
    def network(self) -> nn.Module:
        """The model, cut after the chosen layer."""
        model: nn.Module = self._model
        return model

    @property
    def blocks(self) -> nn.ModuleList:
        """Its transformer blocks, first to last."""
        blocks: nn.ModuleList = self._model.encoder.layers
        return blocks

    def inputs(self, clip: DecodedClip) -> NDArray[np.float32]:
        """(cells, 320): the samples of every cell, normalised over the clip where the model wants it, then silence.

        Raises ValueError as `encode` does.
        """
        waveform, num_cells = self._waveform(clip), TimeGrid.covering(clip.duration_seconds, HOP_SECONDS).num_cells
        samples = self._samples(waveform, self._waveform_scale(waveform), 0, num_cells * _HOP_SAMPLES)[0, 0]
        missing = num_cells * _HOP_SAMPLES - len(samples)
        padded: NDArray[np.float32] = nn.functional.pad(samples, (0, missing)).reshape(num_cells, -1).cpu().numpy()
        return padded

    def rows(self, windows: Tensor) -> Tensor:
        """(B, cells, dim) of (B, cells, 320) inputs, differentiable in the network's parameters.

        As in a clip, the last cell takes the last row. A group-norm front end looks at each window's own statistics.
        """
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            convolved = self._model.feature_extractor(windows.flatten(1)).transpose(1, 2)
            hidden, _ = self._model.feature_projection(convolved)
            found: Tensor = self._model.encoder(hidden).last_hidden_state
        return torch.cat([found, found[:, -1:].expand(-1, windows.shape[1] - found.shape[1], -1)], dim=1)

    @torch.inference_mode()
    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        """Features of each clip. Raises ValueError for a clip without a waveform."""
        waveforms = [self._waveform(clip) for clip in clips]
        rows: dict[int, NDArray[np.float32]] = {}
        # cuDNN would round float32 convolutions to TF32, ten bits of mantissa
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            for places in self._batches(waveforms):
                rows |= self._halving(places, waveforms)
        grids = [TimeGrid.covering(clip.duration_seconds, HOP_SECONDS) for clip in clips]
        return [EncodedTrack(on_grid(rows[place], grid)) for place, grid in enumerate(grids)]

    def _halving(self, places: list[int], waveforms: Sequence[NDArray[np.float32]]) -> dict[int, NDArray[np.float32]]:
        """The rows of a batch of clips by place; where memory runs out, in batches of half as many."""

        def encoded(chunk: Chunk) -> list[NDArray[np.float32]]:
            return self._encoded([waveforms[place] for place in places[chunk.keep]])

        together = Passes(len(places))
        rows: dict[int, NDArray[np.float32]] = {}
        for chunk, found in together.over(len(places), encoded):
            rows |= zip(places[chunk.keep], found, strict=True)
        if together.max_rows < len(places):
            self._batch_rows //= 2
        return rows

    def _waveform(self, clip: DecodedClip) -> NDArray[np.float32]:
        if clip.waveform is None:
            raise ValueError("the clip has no audio stream; encode audio only where clip.waveform is given")
        return self._at_least_one_row(clip.waveform)

    def _batches(self, waveforms: Sequence[NDArray[np.float32]]) -> Iterator[list[int]]:
        """Whole clips of like length together, longer ones each alone."""
        num_rows = [self._num_rows(waveform) for waveform in waveforms]
        whole = [place for place, rows in enumerate(num_rows) if rows <= self._plan.whole_rows]
        lengths = [num_rows[place] for place in whole]
        for found in buckets(lengths, max_rows=self._batch_rows, max_padding=self._plan.max_padding):
            yield [whole[place] for place in found]
        yield from ([place] for place, rows in enumerate(num_rows) if rows > self._plan.whole_rows)

    def _num_rows(self, waveform: NDArray[np.float32]) -> int:
        return (len(waveform) - self._field_samples) // _HOP_SAMPLES + 1

    def _encoded(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The chosen layer's rows of each, (rows, dim) of float32 on the host."""
        if len(waveforms) > 1:
            return self._together(waveforms)
        scale = self._waveform_scale(waveforms[0])
        norm = self._group_norm_scale(waveforms[0], scale)
        return [np.concatenate(list(self._rows(waveforms[0], scale, norm)))]

    def _together(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Several whole clips at once; their own front ends, which look at each clip's own statistics."""
        parts = []
        for waveform in waveforms:
            scale = self._waveform_scale(waveform)
            norm = self._group_norm_scale(waveform, scale)
            convolved = self._convolved(waveform, scale, norm, slice(0, self._num_rows(waveform)))
            parts.append(self._model.feature_projection(convolved.to(self._dtype))[0][0])
        lengths = torch.tensor([len(part) for part in parts], device=self._device)
        padded = nn.utils.rnn.pad_sequence(parts, batch_first=True)
        mask = torch.arange(padded.shape[1], device=self._device) < lengths[:, None]
        encoded = self._model.encoder(padded, attention_mask=mask).last_hidden_state.float().cpu().numpy()
        return [rows[: len(part)] for rows, part in zip(encoded, parts, strict=True)]

    def _at_least_one_row(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(waveform, (0, max(0, self._field_samples - len(waveform))))

    def _waveform_scale(self, waveform: NDArray[np.float32]) -> _Scale | None:
        """The clip's own mean and standard deviation where the model's preprocessor asks for them."""
        if not self._normalise:
            return None
        variance, mean = torch.var_mean(torch.tensor(waveform), correction=0)
        return _Scale(mean.to(self._device), (variance + _NORM_EPSILON).sqrt().to(self._device))

    def _samples(self, waveform: NDArray[np.float32], scale: _Scale | None, start: int, stop: int) -> Tensor:
        """(1, 1, stop - start) on the device, normalised as the model wants."""
        samples = torch.tensor(waveform[start:stop], device=self._device)
        return (samples if scale is None else (samples - scale.mean) / scale.std)[None, None]

    def _group_norm_scale(self, waveform: NDArray[np.float32], scale: _Scale | None) -> _Scale | None:
        """Statistics over the whole clip of the first convolution's channels; None for a layer-norm front end."""
        first = self._model.feature_extractor.conv_layers[0]
        if not isinstance(getattr(first, "layer_norm", None), nn.GroupNorm):
            return None
        kernel, stride = first.conv.kernel_size[0], first.conv.stride[0]
        num_steps = (len(waveform) - kernel) // stride + 1
        total = torch.zeros(2, first.conv.out_channels, dtype=torch.float64, device=self._device)
        max_steps = self._plan.front_end_rows * _HOP_SAMPLES // stride
        for chunk in chunks(num_steps, max_rows=max_steps, context_rows=0):
            start, stop = chunk.keep.start * stride, (chunk.keep.stop - 1) * stride + kernel
            hidden = first.conv(self._samples(waveform, scale, start, stop))[0].double()
            total += torch.stack([hidden.sum(dim=1), hidden.square().sum(dim=1)])
        mean, power = total / num_steps
        variance = (power - mean.square()).clamp_min(0.0)
        return _Scale(mean.float()[:, None], (variance + first.layer_norm.eps).sqrt().float()[:, None])

    def _rows(self, waveform: NDArray[np.float32], scale: _Scale | None, norm: _Scale | None) -> Any:
        """The chosen layer's rows, in runs (rows, dim) of float32 on the host."""
        num_rows = self._num_rows(waveform)
        whole = num_rows <= self._plan.whole_rows
        max_rows = num_rows if whole else self._plan.max_rows
        for chunk in chunks(num_rows, max_rows=max_rows, context_rows=self._plan.context_rows):
            convolved = self._convolved(waveform, scale, norm, chunk.read)
            hidden, _ = self._model.feature_projection(convolved.to(self._dtype))
            encoded = self._model.encoder(hidden).last_hidden_state[0]
            yield encoded[chunk.inside].float().cpu().numpy()

    def _convolved(
        self, waveform: NDArray[np.float32], scale: _Scale | None, norm: _Scale | None, rows: slice
    ) -> Tensor:
        """(1, rows, channels): the convolutional front end over the samples that these rows see."""

        def convolved(chunk: Chunk) -> Tensor:
            first, last = rows.start + chunk.keep.start, rows.start + chunk.keep.stop - 1
            start, stop = first * _HOP_SAMPLES, last * _HOP_SAMPLES + self._field_samples
            return self._front_end(self._samples(waveform, scale, start, stop), norm)

        parts = [part for _, part in self._front_end_passes.over(rows.stop - rows.start, convolved)]
        return torch.cat(parts, dim=2).transpose(1, 2)

    def _front_end(self, hidden: Tensor, norm: _Scale | None) -> Tensor:
        """(1, 1, samples) to (1, channels, rows)."""
        first, *others = self._model.feature_extractor.conv_layers
        if norm is None:
            hidden = first(hidden)
        else:
            group_norm = first.layer_norm
            scaled = (first.conv(hidden) - norm.mean) / norm.std
            hidden = first.activation(scaled * group_norm.weight[:, None] + group_norm.bias[:, None])
        for layer in others:
            hidden = layer(hidden)
        return hidden


def load_network(folder: Path) -> Any:
    """The whole model. Raises ValueError as `load_frozen` does."""
    from transformers import WavLMModel  # noqa: PLC0415 - seconds to import

    return load_frozen(WavLMModel, folder, model_types=("wavlm",), dispensable=("masked_spec_embed",))


def _load(spec: EncoderSpec, folder: Path) -> Any:
    """The model, cut after the chosen layer: what comes later is neither kept nor computed."""
    model = fuse_attention(load_network(folder))
    encoder, num_layers = model.encoder, len(model.encoder.layers)
    if not -1 <= spec.layer <= num_layers:
        raise ValueError(f"this WavLM has the hidden states 0 to {num_layers} (-1: the last), not {spec.layer}")
    if spec.layer not in (-1, num_layers):
        encoder.layers = encoder.layers[: spec.layer]
        if model.config.do_stable_layer_norm:
            encoder.layer_norm = nn.Identity()  # here the norm belongs to the last layer's output alone
    return model


def _receptive_field(config: Any) -> int:
    """Samples that one row sees. Raises ValueError for a front end whose rows are not 20 ms apart."""
    hop, field = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    if hop != _HOP_SAMPLES:
        raise ValueError(f"rows of {hop} samples at {SAMPLE_RATE_HZ} Hz do not lie on the 50 Hz grid; take a WavLM")
    return field
