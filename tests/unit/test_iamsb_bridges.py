"""Laws of the bridges: queries may change places, steps are a clip's own, and drift that rests moves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_iamsb import TINY, batch, system

from iamsb_core.data.batch import Batch
from iamsb_core.systems.iamsb import Iamsb
from iamsb_core.systems.iamsb.heads import Windows
from iamsb_core.systems.iamsb.refinement import RunningClips
from iamsb_core.systems.iamsb.state import QueryState
from iamsb_core.systems.noise import Noise


def candidates(made: Iamsb, given: Batch, place: int) -> tuple[RunningClips, QueryState]:
    """A state and the memory to run a bridge on, without witnesses."""
    network = made.stream_networks()[place]
    memory, dense = made.read(given, Noise(None))[place]
    state = network.prior(memory, dense, Noise(None))
    exists = torch.ones_like(state.logits, dtype=torch.bool)
    return RunningClips(state, exists, torch.tensor([2, 6, 4]), memory, None), state


def test_a_permutation_of_the_queries_permutes_both_bridges() -> None:
    made = system()
    with torch.no_grad():
        clips, state = candidates(made, batch(), 0)
        order = torch.randperm(TINY.coarse.num_queries).expand(3, -1)
        network = made.stream_networks()[0]
        assert network.refinement is not None
        for run in (lambda s: network.coarse(s, clips.memory), lambda s: network.refinement(replace(clips, state=s))):
            straight, permuted = run(state).final.rows(order), run(state.rows(order)).final
            # steps sharpen rounding some thousandfold in an untrained network; in float64 all three agree to 1e-12
            torch.testing.assert_close(permuted.segments, straight.segments, atol=3e-4, rtol=0.0)
            torch.testing.assert_close(permuted.logits, straight.logits, atol=3e-4, rtol=2e-3)
            torch.testing.assert_close(permuted.latents, straight.latents, atol=1e-2, rtol=2e-3)


def test_a_permutation_of_the_queries_leaves_what_the_coupling_says() -> None:
    made = system()
    assert made.witness is not None
    with torch.no_grad():
        audio, visual = (candidates(made, batch(), place)[1] for place in (0, 1))
        energies, present = torch.rand(3, 2), torch.ones(3, 2, dtype=torch.bool)
        order = torch.randperm(TINY.coarse.num_queries).expand(3, -1)
        straight, permuted = (made.witness(state, visual, energies, present) for state in (audio, audio.rows(order)))
    for name in ("statistics", "scores", "weights"):
        torch.testing.assert_close(getattr(permuted, name), getattr(straight, name), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(permuted.audio.mass, straight.audio.mass.gather(1, order), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_zero_drift_and_resting_heads_are_the_identity_in_any_number_of_steps(num_steps: int) -> None:
    made = system(replace(TINY, coarse=replace(TINY.coarse, num_steps=num_steps)))
    network = made.stream_networks()[0]
    assert network.refinement is not None
    with torch.no_grad():
        for bridge in (network.coarse, network.refinement):
            for layer in (bridge.drift[-1], bridge.heads.move):
                layer.weight.zero_()
                layer.bias.zero_()
        clips, state = candidates(made, batch(), 0)
        for trace in (network.coarse(state, clips.memory), network.refinement(clips)):
            torch.testing.assert_close(trace.final.latents, state.latents)
            torch.testing.assert_close(trace.final.segments, state.segments, atol=1e-6, rtol=0.0)
            assert not trace.energy.any()


def test_each_clip_takes_exactly_its_own_steps_and_finished_clips_leave_the_work() -> None:
    made = system()
    network = made.stream_networks()[0]
    assert network.refinement is not None
    seen: list[int] = []
    network.refinement.drift.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    with torch.no_grad():
        clips, _ = candidates(made, batch(), 0)
        trace = network.refinement(clips)
        assert trace.active.sum(0).tolist() == [2, 6, 4]
        assert seen == [3, 3, 2, 2, 1, 1]
        for row, steps in enumerate((2, 6, 4)):
            alone = network.refinement(clips.take(torch.tensor([row])))
            assert len(alone.segments) == steps
            torch.testing.assert_close(alone.final.segments[0], trace.final.segments[row], atol=1e-5, rtol=0.0)
            torch.testing.assert_close(trace.segments[steps - 1, row], trace.final.segments[row])


def test_boundaries_are_read_in_windows_of_the_first_size_at_first_and_of_the_last_at_last() -> None:
    made = system(replace(TINY, refinement=replace(TINY.refinement, first_window_share=0.0, last_window_share=0.0)))
    network, config = made.stream_networks()[0], made.config.refinement
    assert network.refinement is not None
    seen: list[Windows] = []
    network.refinement.reader.register_forward_hook(lambda _, inputs, __: seen.append(inputs[2]))
    with torch.no_grad():
        clips, _ = candidates(made, batch(), 0)  # of 2, 6 and 4 steps, in falling order in what is seen
        network.refinement(clips)
    lengths = clips.memory.edges.length_cells[[1, 2, 0]]
    cells = [windows.main[:, 0, 0] * lengths[: len(windows.main)] for windows in seen]
    torch.testing.assert_close(cells[0], torch.full((3,), config.first_window_cells))
    last = torch.stack([cells[5][0], cells[3][1], cells[1][2]])
    torch.testing.assert_close(last, torch.full((3,), config.last_window_cells))
    fine = [windows.fine[0, 0, 0] for windows in seen if windows.fine is not None]
    seconds = torch.stack([fine[0], fine[5]]) * clips.memory.duration_seconds[1]
    torch.testing.assert_close(
        seconds, torch.tensor([config.first_fine_window_seconds, config.last_fine_window_seconds])
    )
