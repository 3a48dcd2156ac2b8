"""A tiny IaMSB on scrambled weights, so that nothing is at rest, and the clips that its laws are tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.systems.iamsb import Iamsb, IamsbConfig, compact
from iamsb_core.systems.iamsb.config import BudgetConfig, CoarseConfig, NeckConfig, RefinementConfig, WitnessConfig

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=10, hop_seconds=0.02, fine_dim=4, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=7, hop_seconds=0.04),
)
PLAIN_STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04),
)
"""without fine tracks"""
TINY = IamsbConfig(
    dim=16,
    num_heads=2,
    neck=NeckConfig(num_blocks=1, expansion=2, window_cells=8, edge_dim=6),
    coarse=CoarseConfig(num_queries=12, edge_points=5, hidden_multiple=2),
    witness=WitnessConfig(num_witnesses=4, hidden_dim=16),
    budget=BudgetConfig(num_steps=8),
    refinement=RefinementConfig(edge_points=5, fine_points=5, fine_dim=4, hidden_multiple=2),
)
SMALL = replace(compact(), dim=16, num_heads=2)


def system(config: IamsbConfig = TINY, streams: Streams = STREAMS, seed: int = 0) -> Iamsb:
    """In evaluation, every parameter moved off its initial value."""
    torch.manual_seed(seed)
    made = Iamsb(config, streams).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


def small(config: IamsbConfig = SMALL) -> Iamsb:
    """The compact preset, narrow, for features without fine tracks."""
    return system(config, PLAIN_STREAMS)


def batch(
    seconds: Sequence[float] = (2.0, 1.2, 3.0), *, silent: Sequence[int] = (), blind: Sequence[int] = ()
) -> Batch:
    """Random features of clips of those lengths; those of `silent` have no sound, those of `blind` no picture."""
    audio, visual = _stream(STREAMS.audio, seconds, 1, silent), _stream(STREAMS.visual, seconds, 2, blind)
    return Batch(audio, visual, torch.tensor(seconds), tuple(f"clip {row}" for row in range(len(seconds))))


def _stream(spec: StreamSpec, seconds: Sequence[float], seed: int, absent: Sequence[int]) -> StreamBatch:
    """One forged segment in every other clip."""
    generator = torch.Generator().manual_seed(seed)

    def track(dim: int, hop_seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
        counts = [0 if row in absent else round(length / hop_seconds) for row, length in enumerate(seconds)]
        valid = torch.arange(max(*counts, 1)) < torch.tensor(counts)[:, None]
        return torch.randn(*valid.shape, dim, generator=generator) * valid[..., None], valid

    main = track(spec.dim, spec.hop_seconds)
    truth = tuple(
        torch.tensor([[0.2, 0.5]]) if row % 2 and row not in absent else torch.zeros(0, 2)
        for row in range(len(seconds))
    )
    fine = (*track(spec.fine_dim, spec.fine_hop_seconds), spec.fine_hop_seconds) if spec.fine_dim else ()
    return StreamBatch(*main, spec.hop_seconds, truth, *fine)


def proposals(made: Iamsb, given: Batch) -> list[ClipProposals]:
    with torch.no_grad():
        return made.propose(made(given), given)


def assert_same(found: ClipProposals, expected: ClipProposals) -> None:
    for name in ("audio", "visual", "fused"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=2e-4)
    assert found.clip_score == pytest.approx(expected.clip_score, abs=1e-4)
    assert found.evidence["step_budget"] == expected.evidence["step_budget"]
    assert found.evidence["query_budget"] == expected.evidence["query_budget"]
