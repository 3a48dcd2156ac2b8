"""What a system costs, against a count by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.base import create_system
from iamsb_core.systems.cost import count_gflop, measure_cost, random_batch
from iamsb_core.systems.macb_df.config import compact

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02, fine_dim=3, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04),
)


def test_a_linear_layer_by_hand() -> None:
    """100 rows of 30 numbers to 20: 100 x 30 x 20 multiply-adds, two operations each."""
    layer, rows = nn.Linear(30, 20, bias=False), torch.zeros(100, 30)
    assert count_gflop(lambda: layer(rows)) * 1e9 == pytest.approx(2 * 100 * 30 * 20)


def test_a_clip_has_the_cells_of_its_length() -> None:
    batch = random_batch(STREAMS, 1.0)
    assert batch.audio.values.shape == (1, 50, 6)
    assert batch.audio.fine_values is not None
    assert batch.audio.fine_values.shape == (1, 200, 3)
    assert batch.visual.values.shape == (1, 25, 5)


def test_the_cost_of_a_system_grows_with_the_clip() -> None:
    system = create_system("macb-df", STREAMS, compact())
    short, long = (measure_cost(system, STREAMS, seconds, num_repeats=1) for seconds in (1.0, 4.0))
    assert short.num_parameters == sum(weight.numel() for weight in system.parameters())
    assert 3.0 < long.gflop / short.gflop < 4.5
    assert short.median_seconds > 0.0
    assert long.peak_bytes is None or long.peak_bytes >= 0
