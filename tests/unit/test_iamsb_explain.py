"""What IaMSB tells of one clip: the pairs that its coupling matched, how boundaries moved, and why budgets fell so."""

from __future__ import annotations

import pytest
import torch
from batches import GENUINE, noise_batch
from tiny_iamsb import PLAIN_STREAMS, small

from iamsb_core.report.bridge_drawing import bridge_drawing
from iamsb_core.systems.iamsb import Iamsb
from iamsb_core.systems.iamsb.explain import boundary_paths, budget_reason, top_matches
from iamsb_core.systems.iamsb.proposals import final_segments
from iamsb_core.training.reconfigure import reconfigured

CLIPS = noise_batch(PLAIN_STREAMS, [GENUINE] * 2)


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


def test_paths_begin_with_the_prior_and_end_where_the_segment_lies() -> None:
    made, given = small(), CLIPS
    with torch.no_grad():
        outputs = made(given)
        told = made.explain(outputs, given)
    for row, record in enumerate(told):
        assert set(record["trajectories"]) == {"audio", "visual"}
        for place, name in enumerate(("audio", "visual")):
            stream = (outputs.audio, outputs.visual)[place]
            steps = outputs.num_steps[row][place]
            segments, _ = final_segments(stream, 1.0)
            for path in record["trajectories"][name]:
                stages = path["stages"]
                bridges = [stage["bridge"] for stage in stages]
                assert bridges[:3] == ["prior", "coarse", "coarse"]
                assert bridges.count("refinement") in (0, steps)
                last = torch.tensor(stages[-1]["segment"]) / 2.0
                assert ((segments[row] - last).abs().amax(dim=1) < 1e-3).any()
        paths = record["trajectories"]["audio"]
        assert 1 <= len(paths) <= 3
        assert [path["confidence"] for path in paths] == sorted((path["confidence"] for path in paths), reverse=True)
        assert f"{outputs.num_steps[row][0]} steps for the sound" in record["budget_reason"]
        assert "directional scores" in record["budget_reason"]


def test_the_budget_of_one_stream_needs_no_reason() -> None:
    made = reconfigured(small(), {"budget": {"num_steps": 0}})
    assert isinstance(made, Iamsb)
    with torch.no_grad():
        outputs = made(CLIPS)
    assert budget_reason(outputs, 0, 0.5) == "0 steps for the sound and 0 for the picture: nothing weighs the streams"
    paths = boundary_paths(outputs, 0, 2.0)["visual"]
    assert {stage["bridge"] for path in paths for stage in path["stages"]} == {"prior", "coarse"}


#  a clip of 10 s is 1000 wide:  sound [1, 2] at 100 to 200, picture [3, 5] at 300 to 500; the heaviest is the darkest
def test_bridges_are_drawn_by_hand() -> None:
    match = {"audio": {"segment": [1.0, 2.0]}, "visual": {"segment": [3.0, 5.0]}, "mass": 0.4, "residual": 1.5}
    stages = [
        {"bridge": "prior", "step": 0, "segment": [0.0, 4.0]},
        {"bridge": "coarse", "step": 1, "segment": [1.0, 3.0]},
        {"bridge": "refinement", "step": 1, "segment": [1.0, 2.0]},
    ]
    evidence = {"matches": [match], "trajectories": {"audio": [{"confidence": 0.9, "stages": stages}]}}
    drawing = bridge_drawing(evidence, 10.0)
    assert drawing is not None
    (link,), (path,) = drawing.links, drawing.paths
    assert (link.sound, link.picture, link.opacity) == ((100.0, 100.0), (300.0, 200.0), 0.8)
    assert link.ribbon == "M100.0 18.0L200.0 18.0L500.0 102.0L300.0 102.0Z"
    assert [name for _, name in drawing.levels] == ["prior", "coarse 1", "refinement 1"]
    assert path.start == "M0.00 14.0L100.00 93.0L100.00 172.0"
    assert path.end == "M400.00 14.0L300.00 93.0L200.00 172.0"
    assert "in 2 steps" in path.spoken
    inside = bridge_drawing({"windows": [{"evidence": evidence}, {"evidence": {}}]}, 10.0)
    assert inside == drawing
    assert bridge_drawing({"windows": [{"evidence": {}}], "matches": []}, 10.0) is None
