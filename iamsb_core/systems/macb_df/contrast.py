"""Adaptive contrastive alignment of sound and picture (MACL), and its temperature (paper, mechanism 1).

Shapes: B clips, e embedding width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from iamsb_core.systems.macb_df.config import TemperatureConfig

_PRIOR_COUNT = 2.0
_PRIOR_VARIANCE = 0.05
_HIDDEN = 8


class AdaptiveTemperature(nn.Module):
    """A temperature from the batch's variance, the variance's posterior and the gradient's history.

    The variance of the similarities has an inverse-gamma posterior whose old counts fade (`forgetting`), so that it
    follows the training; a small attention over the three statistics moves the temperature off its initial value.
    """

    def __init__(self, config: TemperatureConfig) -> None:
        super().__init__()
        self.config = config
        self.count: Tensor
        self.scale: Tensor
        self.gradient: Tensor
        self.register_buffer("count", torch.tensor(_PRIOR_COUNT))
        self.register_buffer("scale", torch.tensor(_PRIOR_COUNT * _PRIOR_VARIANCE))
        self.register_buffer("gradient", torch.tensor(0.5))
        self.query = nn.Parameter(torch.zeros(_HIDDEN))
        self.key, self.value = nn.Linear(1, _HIDDEN), nn.Linear(1, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, 1)
        span = config.highest - config.lowest
        place = (config.initial - config.lowest) / span
        with torch.no_grad():
            self.output.weight.zero_()
            self.output.bias.fill_(math.log(place / (1.0 - place)))

    def forward(self, variance: Tensor) -> Tensor:
        """The temperature, a scalar, for a batch whose similarities have this variance."""
        if not self.config.adaptive:
            return torch.full_like(variance, self.config.initial)
        statistics = torch.stack([variance.detach(), self.posterior_variance, self.gradient]).clamp_min(1e-6).log()
        tokens = statistics[:, None] / 4.0
        attention = (self.key(tokens) @ self.query).softmax(dim=0)
        logit = self.output(attention @ self.value(tokens))[0]
        at: Tensor = self.config.lowest + (self.config.highest - self.config.lowest) * logit.sigmoid()
        return at

    @property
    def posterior_variance(self) -> Tensor:
        """The posterior's mean, scale / count."""
        return self.scale / self.count

    @torch.no_grad()
    def observe(self, variance: Tensor, num_similarities: int, gradient: Tensor) -> None:
        """Take one batch into the posterior and the history."""
        keep = self.config.forgetting
        self.count.mul_(keep).add_(num_similarities / 2.0)
        self.scale.mul_(keep).add_(num_similarities / 2.0 * variance)
        self.gradient.mul_(keep).add_((1.0 - keep) * gradient)


def contrastive_loss(
    audio: Tensor, visual: Tensor, genuine: Tensor, temperature: AdaptiveTemperature, *, learn: bool
) -> tuple[Tensor, Tensor]:
    """The loss and the temperature it was taken at, for unit embeddings (B, e) of clips that have both streams.

    A genuine clip's sound must find its own picture among all pictures, and the other way round (InfoNCE); a forged
    clip's sound and picture must not be alike. With `learn` the temperature's statistics take the batch in. Fewer than
    two clips compare nothing: 0.
    """
    if len(audio) < 2:
        return audio.sum() * 0.0, torch.full((), temperature.config.initial, device=audio.device)
    similarity = audio @ visual.T
    variance = similarity.var()
    at = temperature(variance)
    logits = similarity / at
    target = torch.arange(len(audio), device=audio.device)
    both = F.cross_entropy(logits, target, reduction="none") + F.cross_entropy(logits.T, target, reduction="none")
    unlike = F.softplus(logits.diagonal())
    if learn:
        wrong = logits.detach().softmax(dim=1) - torch.eye(len(audio), device=audio.device)
        temperature.observe(variance.detach(), similarity.numel(), wrong.abs().mean() / at.detach())
    return torch.where(genuine, both / 2, unlike).mean(), at
