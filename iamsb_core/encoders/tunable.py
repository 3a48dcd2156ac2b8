"""Encoders whose last transformer blocks can learn, and what they learned as a folder that `load_encoder` reads.

Blocks alone learn. The convolutional or patch front end stays as it is, as is usual when such networks are tuned, and
so do the norms around the blocks, whose scales a head or a system over the features has of its own. Nothing is dropped
at random: while it learns, the network computes what an extraction computes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iamsb_core.encoders import clip, wavlm
from iamsb_core.encoders.base import Encoder, EncoderSpec
from iamsb_core.encoders.load import load_encoder, resolve_spec
from iamsb_core.encoders.weights import find_weights, quiet_transformers
from iamsb_core.media.clip import DecodedClip

_PREPROCESSOR = "preprocessor_config.json"


class TunableEncoder(Encoder, Protocol):
    """An encoder over a network with transformer blocks. Shapes: B windows of equal length."""

    @property
    def network(self) -> nn.Module:
        """What computes the features, nothing more; every parameter frozen until it is told otherwise."""
        ...

    @property
    def blocks(self) -> nn.ModuleList:
        """The network's transformer blocks, first to last."""
        ...

    def inputs(self, clip: DecodedClip) -> NDArray[Any]:
        """(cells, ...): what the network sees of the clip in each cell of its grid; a run of them is a window."""
        ...

    def rows(self, windows: Tensor) -> Tensor:
        """(B, cells, dim) of (B, cells, ...) inputs, differentiable in the network's parameters."""
        ...


def is_tunable(spec: EncoderSpec) -> bool:
    """Whether the encoder has blocks that could learn."""
    return spec.name in ("wavlm", "clip") and spec.layer != 0


def tuned_as(spec: EncoderSpec) -> EncoderSpec:
    """The spec that its weights are tuned under: in float32, on the face alone where it sees the mouth as well."""
    return replace(spec, dtype="float32", lips=0, perturbations=())


def load_tunable(spec: EncoderSpec, device: torch.device | str = "cpu") -> TunableEncoder:
    """The encoder, still frozen. Raises ValueError for one without blocks, and as `resolve_spec` does."""
    if not is_tunable(spec):
        raise ValueError(
            f"the encoder {spec.name!r}{' at layer 0' if spec.layer == 0 else ''} has no weights that could be tuned; "
            "name one that has, such as wavlm:FOLDER or clip:FOLDER, with layers up to the one that is chosen"
        )
    encoder = load_encoder(tuned_as(spec), device)
    assert isinstance(encoder, wavlm.WavLMEncoder | clip.ClipEncoder)
    return encoder


def unfreeze(encoder: TunableEncoder, num_blocks: int | None) -> Sequence[nn.Parameter]:
    """Let the last so many blocks learn (None: all), and nothing else. Raises ValueError where there are fewer."""
    blocks = list(encoder.blocks)
    wanted = len(blocks) if num_blocks is None else num_blocks
    if not 1 <= wanted <= len(blocks):
        raise ValueError(f"{encoder.spec.weights} has 1 to {len(blocks)} blocks to tune, not {wanted}")
    encoder.network.requires_grad_(requires_grad=False)
    for block in blocks[len(blocks) - wanted :]:
        block.requires_grad_(requires_grad=True)
    return [weight for weight in encoder.network.parameters() if weight.requires_grad]


def save_tuned(encoder: TunableEncoder, folder: Path) -> EncoderSpec:
    """Write the whole model, with what the blocks learned in it, as safetensors; returns its resolved spec.

    What was frozen is as it was, also beyond the chosen layer. Raises ValueError where the weights that it began with
    are no longer there.
    """
    spec = resolve_spec(encoder.spec)
    base = find_weights(spec.weights)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # transformers draws what a checkpoint may lack, and equal weights have equal bytes
        whole = (wavlm if spec.name == "wavlm" else clip).load_network(base)
    learned = {name: value.cpu() for name, value in encoder.network.state_dict().items()}
    unknown = whole.load_state_dict(learned, strict=False).unexpected_keys
    assert not unknown, unknown
    folder.mkdir(parents=True, exist_ok=True)
    with quiet_transformers():
        whole.save_pretrained(folder)
    shutil.copyfile(base / _PREPROCESSOR, folder / _PREPROCESSOR)
    return resolve_spec(replace(spec, weights=str(folder), weights_digest=""))


def as_tensor(windows: Sequence[NDArray[Any]], device: torch.device | str) -> Tensor:
    """(B, cells, ...) of B windows of equal length."""
    return torch.from_numpy(np.stack(windows)).to(device)
