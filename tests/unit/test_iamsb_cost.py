"""The published cost is met: about 10 M parameters, and each bridge at or below its GFLOPs on an 8.6 s clip."""

from __future__ import annotations

import pytest

from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.iamsb import compact, paper
from iamsb_core.systems.iamsb.cost import count_cost, coupling_operations

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="wavlm-large", dim=1024, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="clip-b16", dim=768, hop_seconds=0.04),
)


def test_the_papers_size_costs_no_more_than_the_paper_says() -> None:
    cost = count_cost(paper(), STREAMS, 8.6)
    assert 9e6 < cost.num_parameters < 11.5e6
    assert cost.coarse_step_gflop <= 0.428
    assert cost.refinement_step_gflop <= 1.01
    assert cost.total_gflop < 93.0


def test_a_coupling_iteration_costs_what_the_paper_says_at_fifty_queries() -> None:
    # 50 x 50 entries, 3 operations, 2 halves, 2 orders
    assert coupling_operations(50) == 30_000


def test_cost_grows_linearly_with_the_clip() -> None:
    costs = [count_cost(compact(), STREAMS, seconds).total_gflop for seconds in (6.4, 12.8, 19.2)]
    assert costs[2] - costs[1] == pytest.approx(costs[1] - costs[0], rel=0.02)
