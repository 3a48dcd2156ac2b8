"""Optimiser, learning-rate schedule and averaged weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from iamsb_core.training.config import TrainConfig


def make_optimizer(system: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW; weights decay only where they are matrices (norms, biases and embeddings of one row do not)."""
    named = [(name, weight) for name, weight in system.named_parameters() if weight.requires_grad]
    decayed = [weight for _, weight in named if weight.ndim >= 2]
    kept = [weight for _, weight in named if weight.ndim < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def learning_rate(step: int, num_steps: int, config: TrainConfig) -> float:
    """Linear warm-up, then a cosine from the peak to its final share."""
    num_warmup = max(1, round(config.warmup_share * num_steps))
    if step < num_warmup:
        return config.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, num_steps - num_warmup)
    floor = config.final_learning_rate_share
    return config.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class AveragedWeights:
    """An exponential moving average of a system's parameters and buffers."""

    def __init__(self, system: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values: dict[str, Tensor] = {name: value.detach().clone() for name, value in system.state_dict().items()}

    @torch.no_grad()
    def update(self, system: nn.Module, step: int) -> None:
        """Move towards the system's weights; early steps forget faster, so that the start leaves no trace."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = system.state_dict()
        floating = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in floating], [current[n] for n in floating], 1.0 - decay)
        for name in self.values.keys() - set(floating):
            self.values[name].copy_(current[name])
