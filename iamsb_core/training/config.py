"""How a system is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from iamsb_core.data.augment import AugmentConfig


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The paper's schedule where it states one (AdamW, 2.5e-4, cosine with warm-up, 40 epochs, bf16, batch 128)."""

    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 2.5e-4
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    """of all steps, in which the learning rate rises from 0"""
    final_learning_rate_share: float = 0.01
    """of the peak, reached at the last step by a cosine"""
    clip_norm: float = 1.0
    """largest gradient norm"""
    ema_decay: float = 0.999
    """of the averaged weights that are evaluated and kept; warmed up by (1 + step) / (10 + step)"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU"""
    window_seconds: float = 20.48
    """longest stretch of a clip that is trained on at once"""
    evaluate_every_epochs: int = 1
    """on the dev split, to choose the checkpoint that is kept as the model"""
    checkpoint_every_steps: int = 200
    """also written at the end of every epoch"""
    seed: int = 0
    augmentation: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_every_epochs", "checkpoint_every_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"training needs {name} of at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.ema_decay < 1.0:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")
