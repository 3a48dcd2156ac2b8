"""Every loss term: by hand, and exactly zero where it should be."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.systems.iamsb.config import LossConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs
from iamsb_core.systems.iamsb.dense_losses import dense_loss
from iamsb_core.systems.iamsb.losses import (
    Truth,
    auxiliary_location,
    budget_shares,
    coverage_loss,
    focal_bce,
    imbalance,
    location_per_step,
    mean_over_steps,
    rank_loss,
    segment_loss,
    worsening,
)
from iamsb_core.systems.iamsb.matching import UNMATCHED, match
from iamsb_core.systems.iamsb.state import QueryState, StepTrace
from iamsb_core.systems.segments import clamp_through, eiou, padded_truth, pairwise_tiou, proper, tiou

LOSS = LossConfig()
SURE = 60.0


def truth_of(*clips: list[list[float]], present: list[bool] | None = None) -> Truth:
    tensors = tuple(torch.tensor(clip).reshape(-1, 2) for clip in clips)
    return Truth(*padded_truth(tensors, torch.device("cpu")), torch.tensor(present or [True] * len(clips)))


def state_of(segments: list[list[list[float]]], logits: list[list[float]]) -> QueryState:
    return QueryState(torch.zeros(len(segments), len(segments[0]), 4), torch.tensor(segments), torch.tensor(logits))


def trace_of(
    *stages: QueryState, initial: QueryState | None = None, active: list[list[bool]] | None = None
) -> StepTrace:
    num_clips, num_queries = stages[0].logits.shape
    return StepTrace(
        initial=stages[0] if initial is None else initial,
        segments=torch.stack([stage.segments for stage in stages]),
        logits=torch.stack([stage.logits for stage in stages]),
        active=torch.tensor(active or [[True] * num_clips] * len(stages)),
        queries=torch.ones(num_clips, num_queries, dtype=torch.bool),
        final=stages[-1],
        energy=torch.zeros(num_clips),
    )


# shares 0   .2   .4   .6   .8   1
#             [=========)              [.2, .6)
#                  [=========)         [.4, .8)   overlap .2, hull .6
def test_tiou_and_eiou_by_hand() -> None:
    first, second = torch.tensor([0.2, 0.6]), torch.tensor([0.4, 0.8])
    assert tiou(first, second).item() == pytest.approx(0.2 / 0.6)
    assert eiou(first, second).item() == pytest.approx(1 / 3 - (0.2 / 0.6) ** 2)
    nested = torch.tensor([0.3, 0.5])
    assert eiou(first, nested).item() == pytest.approx(0.5 - (0.2 / 0.4) ** 2)
    assert tiou(first, torch.tensor([0.7, 0.9])).item() == 0.0


segments = st.tuples(st.floats(0, 0.9), st.floats(0.01, 0.5)).map(lambda pair: [pair[0], min(pair[0] + pair[1], 1.0)])


@settings(deadline=None, max_examples=100)
@given(segments, segments)
def test_overlaps_are_symmetric_and_bounded(one: list[float], two: list[float]) -> None:
    first, second = torch.tensor(one), torch.tensor(two)
    assert tiou(first, second) == tiou(second, first)
    assert 0.0 <= tiou(first, second).item() <= 1.0 + 1e-6
    assert eiou(first, second).item() <= tiou(first, second).item()
    assert pairwise_tiou(first[None], second[None]).item() == tiou(first, second).item()


@settings(deadline=None, max_examples=100)
@given(st.floats(-2, 3), st.floats(-2, 3), st.floats(0.001, 0.5))
def test_a_proper_segment_is_inside_and_long_enough(start: float, end: float, minimum: float) -> None:
    low, high = proper(torch.tensor([start, end]), minimum).tolist()
    assert 0.0 <= low < high <= 1.0
    assert high - low >= minimum - 1e-5


def test_a_clamped_value_still_learns() -> None:
    x = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    clamp_through(x, 0.0, 1.0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


def test_the_segment_loss_is_zero_at_the_truth_and_only_there() -> None:
    target = torch.tensor([0.2, 0.6])
    assert segment_loss(target, target, LOSS).item() == 0.0
    assert segment_loss(torch.tensor([0.2, 0.61]), target, LOSS).item() > 0.0
    # 1 - EIoU, and Huber of a start .2 off (delta .1: .1 * (.2 - .05)) and an equal length
    shifted = segment_loss(torch.tensor([0.4, 0.8]), target, LOSS).item()
    assert shifted == pytest.approx(1 - (1 / 3 - 1 / 9) + 0.015, abs=1e-6)


def test_confidence_by_hand_and_zero_at_its_target() -> None:
    plain = replace(LOSS, focal_gamma=0.0)
    positive = torch.tensor([True])
    assert focal_bce(torch.zeros(1), torch.ones(1), positive, plain).item() == pytest.approx(math.log(2))
    assert focal_bce(torch.zeros(1), torch.ones(1), positive, LOSS).item() == pytest.approx(0.25 * math.log(2))
    assert focal_bce(torch.zeros(1), torch.full((1,), 0.5), positive, LOSS).item() == 0.0
    assert focal_bce(torch.tensor([SURE]), torch.ones(1), positive, LOSS).item() == 0.0
    assert focal_bce(torch.tensor([-200.0]), torch.zeros(1), ~positive, LOSS).item() == 0.0
    weighted = replace(plain, focal_alpha=0.8)
    assert focal_bce(torch.zeros(1), torch.zeros(1), ~positive, weighted).item() == pytest.approx(0.2 * math.log(2))


def test_coverage_by_hand() -> None:
    truth = truth_of([[0.2, 0.6]], [])
    queries = torch.ones(2, 2, dtype=torch.bool)
    found = torch.tensor([[[[0.4, 0.8], [0.9, 1.0]], [[0.0, 1.0], [0.1, 0.2]]]])
    assert coverage_loss(found, queries, truth, LOSS)[0].tolist() == pytest.approx([math.exp(-5 / 3), 0.0])


def test_location_of_a_perfect_answer_is_the_coverage_of_a_perfect_cover() -> None:
    perfect = trace_of(state_of([[[0.2, 0.6], [0.7, 0.9]]], [[SURE, -200.0]]))
    loss = location_per_step(perfect, truth_of([[0.2, 0.6]]), LOSS)
    assert loss.item() == pytest.approx(math.exp(-LOSS.coverage_beta), abs=1e-6)


def test_location_of_a_silent_real_clip_is_zero_and_of_a_loud_one_is_not() -> None:
    for logit, is_zero in ((-200.0, True), (2.0, False)):
        trace = trace_of(state_of([[[0.2, 0.6], [0.7, 0.9]]], [[logit, -200.0]]))
        assert (location_per_step(trace, truth_of([]), LOSS).item() == 0.0) is is_zero


def test_an_absent_stream_and_an_untaken_step_cost_nothing() -> None:
    wrong = state_of([[[0.2, 0.6]], [[0.7, 0.9]]], [[1.0], [1.0]])
    trace = trace_of(wrong, wrong, active=[[True, True], [True, False]])
    loss = location_per_step(trace, truth_of([[0.0, 0.1]], [[0.0, 0.1]], present=[False, True]), LOSS)
    assert loss[:, 0].tolist() == [0.0, 0.0]
    assert loss[0, 1] > 0.0
    assert loss[1, 1] == 0.0
    assert mean_over_steps(loss, trace)[1] == loss[0, 1]


def test_quality_targets_make_confidence_the_tiou() -> None:
    """At logit 0 and tiou 0.5 a matched query is content; trained towards 1 it is not."""
    trace = trace_of(state_of([[[0.2, 0.6]]], [[0.0]]))
    truth = truth_of([[0.2, 0.4]])
    quality, printed = (location_per_step(trace, truth, replace(LOSS, quality_target=kind)) for kind in (True, False))
    assert printed.item() - quality.item() == pytest.approx(0.25 * math.log(2), abs=1e-5)


def test_auxiliary_location_counts_only_queries_that_start_near_a_truth() -> None:
    truth = truth_of([[0.2, 0.6]])
    far = state_of([[[0.7, 0.9], [0.8, 1.0]]], [[0.0, 0.0]])
    near = state_of([[[0.25, 0.6], [0.8, 1.0]]], [[0.0, 0.0]])
    exact = state_of([[[0.2, 0.6], [0.8, 1.0]]], [[0.0, 0.0]])
    assert auxiliary_location(trace_of(exact, initial=far), truth, LOSS).item() == 0.0
    assert auxiliary_location(trace_of(exact, initial=near), truth, LOSS).item() == 0.0
    moved = auxiliary_location(trace_of(far, initial=near), truth, LOSS)
    assert moved.item() == pytest.approx(segment_loss(torch.tensor([0.7, 0.9]), truth.segments[0, 0], LOSS).item())
    assert auxiliary_location(trace_of(far, initial=near), truth, replace(LOSS, auxiliary_tiou=1.1)).item() == 0.0
    assert auxiliary_location(trace_of(far, initial=near), truth_of([]), LOSS).item() == 0.0


def test_rank_is_signed_by_the_labels_and_zero_where_they_say_nothing() -> None:
    #                      audio only  visual only  both   neither  audio only, satisfied  absent
    audio = torch.tensor([True, False, True, False, True, True])
    visual = torch.tensor([False, True, True, False, False, False])
    both = torch.tensor([True, True, True, True, True, False])
    scores = torch.tensor([[1.0, 1.2], [1.0, 1.2], [0.0, 9.0], [9.0, 0.0], [1.0, 0.5], [0.0, 9.0]])
    rows = [slice(row, row + 1) for row in range(6)]
    found = [rank_loss(scores[row], audio[row], visual[row], both[row], 0.5).item() for row in rows]
    assert found == pytest.approx([0.7, 0.3, 0.0, 0.0, 0.0, 0.0])
    assert rank_loss(scores, audio, visual, both, 0.5).item() == pytest.approx((0.7 + 0.3 + 0.0) / 3)


def test_worsening_is_zero_while_steps_help() -> None:
    state = state_of([[[0.2, 0.6]]] * 2, [[0.0]] * 2)
    trace = trace_of(state, state, state, active=[[True, True], [True, True], [True, False]])
    assert worsening(torch.tensor([[3.0, 3.0], [2.0, 2.0], [2.0, 0.0]]), trace).tolist() == [0.0, 0.0]
    assert worsening(torch.tensor([[1.0, 1.0], [3.0, 1.5], [2.0, 9.0]]), trace).tolist() == [2.0, 0.5]
    assert worsening(torch.tensor([[1.0, 1.0]]), trace_of(state)).tolist() == [0.0, 0.0]


def test_worsening_moves_the_worse_step_only() -> None:
    state = state_of([[[0.2, 0.6]]], [[0.0]])
    per_step = torch.tensor([[1.0], [3.0], [2.0]], requires_grad=True)
    worsening(per_step, trace_of(state, state, state)).sum().backward()
    assert per_step.grad is not None
    assert per_step.grad[:, 0].tolist() == [0.0, 1.0, 0.0]


def test_imbalance_is_zero_at_the_wanted_shares() -> None:
    audio, visual = torch.tensor([True, False, True, False]), torch.tensor([False, True, True, False])
    wanted = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.5, 0.5]])
    both = torch.ones(4, dtype=torch.bool)
    assert imbalance(wanted, audio, visual, both, 0.5).tolist() == [0.0] * 4
    assert imbalance(wanted.flip(1), audio, visual, both, 0.5).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert imbalance(wanted.flip(1), audio, visual, ~both, 0.5).tolist() == [0.0] * 4
    far = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.5, 0.5]])
    assert imbalance(far, audio, visual, both, 0.8).tolist() == pytest.approx([0.0] * 4, abs=1e-6)


def test_budget_shares_are_those_of_steps_times_queries() -> None:
    assert budget_shares(torch.tensor([[0.75, 0.25]]))[0].tolist() == pytest.approx([0.9, 0.1])


def dense_of(length: int, cell_segments: torch.Tensor, forged: torch.Tensor, edges: torch.Tensor) -> DenseOutputs:
    valid = torch.ones(1, length, dtype=torch.bool)
    return DenseOutputs(forged, edges[0], edges[1], cell_segments, valid, torch.tensor([float(length)]))


def test_the_dense_loss_of_cells_that_know_everything_is_zero() -> None:
    # ten cells, truth [0.2, 0.5): cells 2, 3, 4 inside; boundaries lie on edges, half a cell from their neighbours
    inside = torch.zeros(1, 10, dtype=torch.bool)
    inside[0, 2:5] = True
    places = (torch.arange(10) + 0.5) / 10
    targets = [torch.exp(-0.5 * ((places - edge) * 10).square())[None] for edge in (0.2, 0.5)]
    edges = torch.stack([torch.logit(target.double()).float() for target in targets])
    forged = torch.where(inside, SURE, -200.0)
    cells = torch.tensor([0.2, 0.5]).expand(1, 10, 2)
    loss = dense_loss(dense_of(10, cells, forged, edges), truth_of([[0.2, 0.5]]), LOSS)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    wrong = dense_loss(dense_of(10, cells, -forged, edges), truth_of([[0.2, 0.5]]), LOSS)
    assert wrong.item() > 1.0


def test_the_dense_loss_of_an_absent_or_quiet_real_stream_is_zero() -> None:
    cells, quiet = torch.tensor([0.2, 0.5]).expand(1, 10, 2), torch.full((1, 10), -200.0)
    silent = dense_of(10, cells, quiet, torch.stack([quiet, quiet]))
    loud = dense_of(10, cells, -quiet, torch.stack([-quiet, -quiet]))
    assert dense_loss(silent, truth_of([]), LOSS).item() == 0.0
    assert (
        dense_loss(replace(loud, valid=torch.zeros(1, 10, dtype=torch.bool)), truth_of([], present=[False]), LOSS) == 0
    )


def test_the_dense_loss_counts_neither_padding_nor_absent_streams() -> None:
    # the second clip has no stream, but a truth and cells inside it; the last cells of the first are padding
    wrong, logits = torch.tensor([0.7, 0.9]).expand(1, 10, 2), torch.zeros(1, 10)
    alone = dense_of(10, wrong, logits, torch.stack([logits, logits]))
    alone = replace(alone, valid=torch.arange(10)[None] < 6)
    absent = replace(alone, valid=torch.zeros(1, 10, dtype=torch.bool))
    names = ("forged_logits", "start_logits", "end_logits", "segments", "valid", "length_cells")
    both = DenseOutputs(**{name: torch.cat([getattr(alone, name), getattr(absent, name)]) for name in names})
    truth, kept = [[0.2, 0.9]], dense_loss(alone, truth_of([[0.2, 0.9]]), LOSS)
    assert dense_loss(absent, truth_of(truth, present=[False]), LOSS).item() == 0.0
    torch.testing.assert_close(dense_loss(both, truth_of(truth, truth, present=[True, False]), LOSS), kept)
    changed = replace(alone, segments=torch.where(alone.valid[..., None], wrong, 0.1))
    torch.testing.assert_close(dense_loss(changed, truth_of(truth), LOSS), kept)


def test_matching_is_one_to_one_optimal_and_leaves_the_rest() -> None:
    # greedy by tiou would give truth 0 to query 0 and leave truth 1 to the far query 2; the optimum does not
    state = state_of([[[0.20, 0.50], [0.10, 0.40], [0.80, 0.90]], [[0.1, 0.2]] * 3], [[0.0] * 3] * 2)
    truth = truth_of([[0.15, 0.45], [0.25, 0.55]], [])
    queries = torch.ones(2, 3, dtype=torch.bool)
    assigned = match(state, queries, truth.segments, truth.exists, LOSS)
    assert assigned.tolist() == [[1, 0, UNMATCHED], [UNMATCHED] * 3]
    queries[0, 0] = False
    assert match(state, queries, truth.segments, truth.exists, LOSS)[0].tolist() == [UNMATCHED, 0, 1]
