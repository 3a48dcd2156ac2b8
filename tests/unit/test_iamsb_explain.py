"""What IaMSB tells of one clip: the pairs that its coupling matched, and what its cells say."""

from __future__ import annotations

import pytest
import torch

from iamsb_core.systems.iamsb.explain import top_matches


#  sound p0 [0 1] p1 [0 1.1] (the same) p2 [5 6];  picture q0 [0 1] q1 [8 9]
#  plan   .3 .0   cost 1 9      p0 and p1 with q0 say the same: mass .5, residual (.3 * 1 + .2 * 3) / .5 = 1.8
#         .2 .1        3 9      p2 with q1: mass .4, residual 2;  p1 with q1: mass .1, residual 9
#         .0 .4        9 2
def test_matches_by_hand() -> None:
    plan = torch.tensor([[0.3, 0.0], [0.2, 0.1], [0.0, 0.4]])
    cost = torch.tensor([[1.0, 9.0], [3.0, 9.0], [9.0, 2.0]])
    sound = torch.tensor([[0.0, 1.0], [0.0, 1.1], [5.0, 6.0]])
    picture = torch.tensor([[0.0, 1.0], [8.0, 9.0]])
    second, first, third, *_ = top_matches(plan, cost, sound, picture)
    assert (first["audio"]["segment"], first["visual"]["segment"]) == ([5.0, 6.0], [8.0, 9.0])
    assert (first["mass"], first["residual"]) == (pytest.approx(0.4), pytest.approx(2.0))
    assert (second["audio"]["segment"], second["visual"]["segment"]) == ([0.0, 1.0], [0.0, 1.0])
    assert (second["mass"], second["residual"]) == (pytest.approx(0.5), pytest.approx(1.8))
    assert (third["mass"], third["residual"]) == (pytest.approx(0.1), pytest.approx(9.0))


def test_pairs_hold_no_more_than_the_whole_mass() -> None:
    generator = torch.Generator().manual_seed(0)
    plan, cost = torch.rand(40, 30, generator=generator), torch.rand(40, 30, generator=generator)
    sound, picture = (torch.rand(n, 2, generator=generator).sort(dim=1).values for n in (40, 30))
    found = top_matches(plan, cost, sound, picture)
    assert 1 <= len(found) <= 6
    assert 0.0 < sum(each["mass"] for each in found) <= 1.0
    assert all(0.0 <= each["residual"] <= 1.0 for each in found)
