"""How an encoder is tuned."""

from __future__ import annotations

from dataclasses import dataclass

from iamsb_core.manifest import Modality


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """First a head learns to tell forged cells over the frozen encoder, then the encoder's last blocks learn with it.

    So a head that knows nothing cannot spoil what the encoder knows (Kumar et al. 2022, arXiv 2202.10054).
    """

    blocks: int | None = 1
    """how many of the last transformer blocks learn; None: all"""
    head_width: int = 0
    """of the head's hidden layer; 0: the head is linear"""
    head_epochs: int = 2
    """in which the head learns alone"""
    epochs: int = 4
    """in which both learn; the one with the best dev AUC is kept"""
    batch_size: int = 8
    """windows"""
    encoder_learning_rate: float = 2e-5
    """peak, after a warm-up and before a cosine"""
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    """largest gradient norm"""
    audio_window_seconds: float = 4.0
    """of sound that a clip is looked at in; a shorter clip is looked at as a whole"""
    visual_window_seconds: float = 1.0
    """of pictures, each of which is encoded by itself"""
    num_clips: int = 2000
    """of the train split, at most"""
    num_dev_clips: int = 500
    """of the dev split, at most"""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("head_epochs", "epochs", "batch_size", "num_clips", "num_dev_clips"):
            if getattr(self, name) < 1:
                raise ValueError(f"tuning an encoder needs {name} of at least 1, got {getattr(self, name)}")
        for name in ("audio_window_seconds", "visual_window_seconds", "encoder_learning_rate", "head_learning_rate"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"tuning an encoder needs a positive {name}, got {getattr(self, name)}")
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, got {self.blocks}; leave it out (null) to tune all")
        if self.head_width < 0:
            raise ValueError(f"head_width must be 0 (linear) or more, got {self.head_width}")

    def window_cells(self, modality: Modality, hop_seconds: float) -> int:
        """Cells of a window of one stream."""
        seconds = self.audio_window_seconds if modality is Modality.AUDIO else self.visual_window_seconds
        return max(2, round(seconds / hop_seconds))
