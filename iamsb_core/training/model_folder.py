"""A trained model as a folder: model.safetensors and card.json, enough to use it on a video anywhere.

No pickle is ever opened, whatever it is called and whoever made it: reading one can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from iamsb_core.configuration import parse
from iamsb_core.digest import file_sha256, plain
from iamsb_core.encoders.base import EncoderSpec, Streams
from iamsb_core.metrics.calibration import Calibration
from iamsb_core.systems.base import System, create_system, system_type

FORMAT = "iamsb-model-v1"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "card.json"
_PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything besides the weights that a model's numbers depend on."""

    format: str = FORMAT
    system: str
    system_config: dict[str, Any]
    streams: Streams
    audio_encoder: EncoderSpec
    visual_encoder: EncoderSpec
    window_seconds: float
    """longest stretch the system was trained on; longer videos are localised in windows of this length"""
    training: dict[str, Any] = field(default_factory=dict)
    """the training configuration and the data it saw"""
    metrics: dict[str, Any] = field(default_factory=dict)
    """on the dev split, of these weights"""
    calibration: Calibration | None = None
    """what the dev split says of the scores; None where there was none, or the model is older than this"""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadedModel:
    """A system with its weights, and its card."""

    system: System[Any]
    card: ModelCard
    sha256: str
    """digest of the weights file and the card"""


def save_model(folder: Path, weights: Mapping[str, Tensor], card: ModelCard) -> Path:
    """Write a model folder in one rename, replacing an older one."""
    staging = folder.with_name(f".staging-{folder.name}-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}, staging / WEIGHTS_FILE
    )
    (staging / CARD_FILE).write_text(json.dumps(plain(card), indent=2))
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)
    return folder


def load_model(folder: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """The system, ready for inference.

    Raises ValueError where the folder holds no model, or one whose weights do not fit its card.
    """
    card = read_card(folder)
    config: Any = parse(system_type(card.system).config_type, card.system_config, where=f"{card.system} configuration")
    system = create_system(card.system, card.streams, config)
    try:
        system.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except SafetensorError as error:
        message = f"the weights in {folder} are damaged ({error}); train it again, or name another model"
        raise ValueError(message) from None
    except RuntimeError as error:
        message = (
            f"the weights in {folder} do not fit the configuration in its {CARD_FILE}: they are not of this version's "
            f"{card.system}; train it again, or use the version of IaMSB that trained it"
        )
        raise ValueError(message) from error
    return LoadedModel(system.to(device).eval(), card, model_sha256(folder))


def read_card(folder: Path) -> ModelCard:
    """The card alone."""
    missing = [name for name in (WEIGHTS_FILE, CARD_FILE) if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{folder} is no model: it lacks {' and '.join(missing)}{beside_pickles(folder)}; `iamsb train` prints a "
            "model's URI"
        )
    try:
        data = json.loads((folder / CARD_FILE).read_bytes())
    except (ValueError, RecursionError) as error:
        message = f"{folder / CARD_FILE} is damaged ({error}); train it again, or name another model"
        raise ValueError(message) from None
    found = data.get("format") if isinstance(data, dict) else type(data).__name__
    if found != FORMAT:
        raise ValueError(f"{folder} has format {found!r}, this version reads {FORMAT!r}; train it anew")
    return parse(ModelCard, data, where="model card")


def beside_pickles(folder: Path) -> str:
    """What to say of the pickles in or below a folder that holds no model of ours; nothing where there is none."""
    pickles = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICKLE_SUFFIXES)
    if not pickles:
        return ""
    return f"; what it has, such as {pickles[0].name}, is a pickle, which can run code and is never opened here"


def model_sha256(folder: Path) -> str:
    """One digest for the whole model."""
    parts = [file_sha256(folder / name) for name in (WEIGHTS_FILE, CARD_FILE)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()
