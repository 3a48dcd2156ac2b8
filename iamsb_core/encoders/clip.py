"""CLIP's image tower (Radford et al. 2021) through transformers: frozen, one vector for each frame of the grid.

Layer -1 is the pooled output (the class token of the last layer after its norm); 0 to num_layers is the class token
of that hidden state as it is. Resizing, cropping and scaling follow the model's own preprocessor_config.json and are
done here, on the device: which image processor transformers picks depends on what else is installed.

On a GPU the pictures of several clips go through the network together, and a picture's vector is the same but for
rounding whatever is beside it. On a processor, where this would gain nothing, clips come alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from iamsb_core.encoders.alignment import Chunk
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.frames import checked_frames, frame_view
from iamsb_core.encoders.passes import Passes
from iamsb_core.encoders.weights import load_frozen, read_config
from iamsb_core.media.clip import DecodedClip
from iamsb_core.timeline import FeatureTrack, TimeGrid

VERSION = 1
_FRAMES_PER_PASS = 64
_GPU_FRAMES_PER_PASS = 512
_RESAMPLING = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What the model's preprocessor does to a picture, read from its file."""

    shortest_edge: int | None
    """None: pictures are not resized"""
    crop: tuple[int, int] | None
    """(height, width); None: pictures are not cropped"""
    resampling: str
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path) -> Preprocessing:
        """Raises ValueError for a resampling that has no counterpart here."""
        config = read_config(folder, "preprocessor_config.json")
        resample = config.get("resample", 3)
        if resample not in _RESAMPLING:
            raise ValueError(f"resample {resample} of {folder} is not known; 2 (bilinear) and 3 (bicubic) are")
        normalise = config.get("do_normalize", True)
        return cls(
            shortest_edge=_shortest_edge(config.get("size", 224)) if config.get("do_resize", True) else None,
            crop=_crop(config.get("crop_size", 224)) if config.get("do_center_crop", True) else None,
            resampling=_RESAMPLING[resample],
            rescale=float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0,
            mean=tuple(config["image_mean"]) if normalise else (0.0, 0.0, 0.0),
            std=tuple(config["image_std"]) if normalise else (1.0, 1.0, 1.0),
        )

    def __call__(self, frames: Tensor) -> Tensor:
        """(F, H, W, 3) uint8 to (F, 3, height, width) float32, on the frames' device."""
        pixels = self._cropped(self._resized(frames.permute(0, 3, 1, 2).float()))
        mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (self.mean, self.std))
        return (pixels * self.rescale - mean) / std

    def _resized(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[-2:]
        if self.shortest_edge is None or min(height, width) == self.shortest_edge:
            return pixels
        longest = self.shortest_edge * max(height, width) // min(height, width)
        new_height, new_width = (self.shortest_edge, longest) if height <= width else (longest, self.shortest_edge)
        return self._interpolated(self._interpolated(pixels, (height, new_width)), (new_height, new_width))

    def _interpolated(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        """One pass of Pillow's two, across and then down, after each of which a picture is bytes again."""
        resized = F.interpolate(pixels, size=size, mode=self.resampling, antialias=True, align_corners=False)
        return resized.round_().clamp_(0.0, 255.0)

    def _cropped(self, pixels: Tensor) -> Tensor:
        if self.crop is None:
            return pixels
        (height, width), (crop_height, crop_width) = pixels.shape[-2:], self.crop
        if height < crop_height or width < crop_width:
            raise ValueError(f"frames of {width}x{height} are smaller than the crop of {crop_width}x{crop_height}")
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        return pixels[..., top : top + crop_height, left : left + crop_width]


class ClipEncoder:
    """A frozen CLIP image tower on a device."""

    def __init__(self, spec: EncoderSpec, folder: Path, device: torch.device, *, together: bool | None = None) -> None:
        """together: whether several clips share a pass; as the device is if None."""
        self._spec, self._device, self._view = spec, device, frame_view(spec)
        self._together = device.type == "cuda" if together is None else together
        self._passes = Passes(_GPU_FRAMES_PER_PASS if device.type == "cuda" else _FRAMES_PER_PASS)
        self._preprocess = Preprocessing.read(folder)
        self._dtype = getattr(torch, spec.dtype)
        self._model = _load(spec, folder).to(device=device, dtype=self._dtype)
        crop, size = self._preprocess.crop, int(self._model.config.image_size)
        if crop is not None and crop != (size, size):
            raise ValueError(f"{folder}: the preprocessor crops to {crop}, the model wants {size}x{size}")

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    @property
    def stream(self) -> StreamSpec:
        dim = int(self._model.config.hidden_size)
        return StreamSpec(encoder_identity=self._spec.identity, dim=dim, hop_seconds=1.0 / self._view.rate_hz)

    @property
    def network(self) -> nn.Module:
        """The image tower, cut after the chosen layer."""
        tower: nn.Module = self._model
        return tower

    @property
    def blocks(self) -> nn.ModuleList:
        """Its transformer blocks, first to last."""
        blocks: nn.ModuleList = self._model.encoder.layers
        return blocks

    def inputs(self, clip: DecodedClip) -> NDArray[np.uint8]:
        """(cells, size, size, 3): the clip's share of every cell. Raises ValueError as `encode` does."""
        return checked_frames(clip, self._view)

    def rows(self, windows: Tensor) -> Tensor:
        """(B, cells, dim) of (B, cells, size, size, 3) inputs, differentiable in the network's parameters."""
        return self._chosen(windows.flatten(0, 1)).reshape(*windows.shape[:2], -1)

    @torch.inference_mode()
    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        """Features of each clip. Raises ValueError for a clip without frames of the view."""
        frames = [checked_frames(clip, self._view) for clip in clips]
        runs = [frames] if self._together and frames else [[one] for one in frames]
        rows = [part for run in runs for part in self._encoded(run)]
        grids = (TimeGrid.covering(clip.duration_seconds, 1.0 / self._view.rate_hz) for clip in clips)
        return [EncodedTrack(FeatureTrack(values, grid)) for values, grid in zip(rows, grids, strict=True)]

    def _encoded(self, clips: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """(num_frames, dim) of each clip's (num_frames, size, size, 3), all in the same passes."""
        ends = np.cumsum([len(frames) for frames in clips])

        def seen(chunk: Chunk) -> NDArray[np.float32]:
            pieces = [
                frames[max(0, chunk.keep.start - end + len(frames)) : chunk.keep.stop - end + len(frames)]
                for frames, end in zip(clips, ends.tolist(), strict=True)
                if chunk.keep.start < end and end - len(frames) < chunk.keep.stop
            ]
            return self._vectors(self._on_device(pieces))

        parts = [part for _, part in self._passes.over(int(ends[-1]), seen)]
        return np.split(np.concatenate(parts), ends[:-1])

    def _on_device(self, pieces: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Runs of pictures as one tensor, through memory that a GPU fetches from by itself."""
        shape = (sum(map(len, pieces)), *pieces[0].shape[1:])
        frames = torch.empty(shape, dtype=torch.uint8, pin_memory=self._device.type == "cuda")
        np.concatenate(pieces, out=frames.numpy())
        return frames.to(self._device, non_blocking=True)

    def _vectors(self, frames: Tensor) -> NDArray[np.float32]:
        """(F, dim) of (F, size, size, 3) uint8, on the host."""
        vectors: NDArray[np.float32] = self._chosen(frames).float().cpu().numpy()
        return vectors

    def _chosen(self, frames: Tensor) -> Tensor:
        """(F, dim) of (F, size, size, 3) uint8: the chosen layer's."""
        pixels = self._preprocess(frames)
        # cuDNN would round the patch convolution of float32 to TF32, ten bits of mantissa
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            outputs = self._model(pixel_values=pixels.to(self._dtype))
        chosen: Tensor = outputs.pooler_output if self._spec.layer == -1 else outputs.last_hidden_state[:, 0]
        return chosen


def load_network(folder: Path) -> Any:
    """The whole image tower, also out of a full CLIP checkpoint. Raises ValueError as `load_frozen` does."""
    from transformers import CLIPVisionModel  # noqa: PLC0415 - seconds to import

    return load_frozen(CLIPVisionModel, folder, model_types=("clip", "clip_vision_model"))


def _load(spec: EncoderSpec, folder: Path) -> Any:
    """The image tower, cut after the chosen layer."""
    model = load_network(folder)
    num_layers = len(model.encoder.layers)
    if not -1 <= spec.layer <= num_layers:
        raise ValueError(f"this CLIP has the hidden states 0 to {num_layers} (-1: pooled output), not {spec.layer}")
    if spec.layer != -1:
        model.encoder.layers = model.encoder.layers[: spec.layer]
    return model


def _shortest_edge(size: int | dict[str, int]) -> int:
    """Raises ValueError for a resize to a fixed height and width, which squeezes pictures that are not square."""
    if isinstance(size, int):
        return size
    if "shortest_edge" in size:
        return size["shortest_edge"]
    if size.get("height") == size.get("width") and "height" in size:
        return size["height"]  # the views of this project are square
    raise ValueError(f"the preprocessor's size {size} is not understood; a number or {{'shortest_edge': N}} is")


def _crop(size: int | dict[str, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size["height"], size["width"])
