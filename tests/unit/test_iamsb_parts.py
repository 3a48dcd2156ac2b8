"""The parts of IaMSB one by one: reading between cells, seeds, selection, reachability."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from iamsb_core.bridge.energy import steps_to_reach
from iamsb_core.systems.iamsb.attention import WindowedAttention, WitnessAttention
from iamsb_core.systems.iamsb.config import IamsbConfig
from iamsb_core.systems.iamsb.dense import DenseOutputs, seeds, segment_evidence
from iamsb_core.systems.iamsb.evidence import discrepancies
from iamsb_core.systems.iamsb.heads import jittered
from iamsb_core.systems.iamsb.selection import select
from iamsb_core.systems.iamsb.state import QueryState, StepTrace
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.padding import align_left
from iamsb_core.systems.sampling import sample_cells


def test_reading_between_cells_by_hand() -> None:
    # centres at 0.5, 1.5, 2.5; the fourth cell is padding and must never be read
    values = torch.tensor([[[0.0], [10.0], [20.0], [999.0]]])
    places = torch.tensor([[-3.0, 0.5, 1.0, 1.75, 2.5, 3.9]])
    assert sample_cells(values, places, torch.tensor([3]))[0, :, 0].tolist() == [0.0, 0.0, 5.0, 12.5, 20.0, 20.0]


def test_a_track_without_cells_reads_as_it_is_padded() -> None:
    assert sample_cells(torch.zeros(1, 1, 2), torch.tensor([[0.3]]), torch.tensor([0])).tolist() == [[[0.0, 0.0]]]


def test_clips_move_to_the_start_of_their_padding() -> None:
    values = torch.tensor([[[9.0], [1.0], [2.0], [9.0]], [[3.0], [9.0], [9.0], [9.0]]])
    valid = torch.tensor([[False, True, True, False], [True, False, False, False]])
    moved, seen = align_left(values, valid)
    assert moved[..., 0].tolist() == [[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]
    assert seen.tolist() == [[True, True, False, False], [True, False, False, False]]


def test_seeds_are_the_best_cells_of_different_segments() -> None:
    # cells 0 and 1 believe in one segment, cell 2 in another; cell 3 is padding, however sure
    segments = torch.tensor([[[0.0, 0.4], [0.01, 0.4], [0.6, 0.9], [0.1, 0.2]]])
    logits = torch.tensor([[2.0, 1.9, 0.0, 9.0]])
    valid = torch.tensor([[True, True, True, False]])
    dense = DenseOutputs(logits, logits, logits, segments, valid, torch.tensor([3.0]))
    assert seeds(dense, 3, 0.3).tolist() == [[0, 2, 1]]


def test_a_clip_shorter_than_its_seeds_repeats_one_and_reads_no_padding() -> None:
    valid = torch.tensor([[True, True, False, False]])
    segments = torch.tensor([[0.0, 0.5]]).expand(1, 4, 2)
    dense = DenseOutputs(torch.zeros(1, 4), torch.zeros(1, 4), torch.zeros(1, 4), segments, valid, torch.tensor([2.0]))
    assert set(seeds(dense, 6, 0.3)[0].tolist()) == {0, 1}


def test_selection_takes_the_best_and_no_more_than_the_budget() -> None:
    priority = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.4, 0.3, 0.2, 0.1]])
    chosen = select(priority, [2, 4], Noise(None))
    assert chosen.index[0, :2].tolist() == [1, 3]
    assert chosen.exists.tolist() == [[True, True, False, False], [True] * 4]


def test_selection_in_training_is_a_weighted_sample_without_replacement() -> None:
    """First places are drawn in proportion to the priority (within four standard errors of 4,000 draws)."""
    weights, num = torch.tensor([0.5, 0.3, 0.2]), 4000
    chosen = select(weights.expand(num, 3), [3] * num, Noise(torch.Generator().manual_seed(0)))
    assert all(len(set(row)) == 3 for row in chosen.index.tolist())
    shares = np.bincount(chosen.index[:, 0].numpy(), minlength=3) / num
    np.testing.assert_allclose(shares, weights.numpy(), atol=4 * (0.25 / num) ** 0.5)


def test_jitter_keeps_segments_in_the_clip_and_in_order() -> None:
    noise = torch.randn(1, 500, 2, generator=torch.Generator().manual_seed(0))
    moved = jittered(torch.tensor([0.4, 0.6]).expand(1, 500, 2), noise, 0.5)
    assert bool((moved[..., 1] > moved[..., 0]).all())
    assert bool(((moved >= 0.0) & (moved <= 1.0)).all())
    assert torch.equal(jittered(torch.tensor([[0.4, 0.6]]), torch.zeros(1, 2), 0.5), torch.tensor([[0.4, 0.6]]))


def test_reachability_by_hand() -> None:
    """One query: tiou with its end 0, then 0.5, then 1; a second query does not exist."""
    stages = [[[0.0, 0.1], [0.5, 0.6]], [[0.2, 0.4], [0.5, 0.6]], [[0.2, 0.6], [0.5, 0.6]]]
    states = [QueryState(torch.zeros(1, 2, 1), torch.tensor([stage]), torch.zeros(1, 2)) for stage in stages]
    trace = StepTrace(
        initial=states[0],
        segments=torch.stack([state.segments for state in states[1:]]),
        logits=torch.zeros(2, 1, 2),
        active=torch.ones(2, 1, dtype=torch.bool),
        queries=torch.tensor([[True, False]]),
        final=states[-1],
        energy=torch.zeros(1),
    )
    distances = discrepancies(trace)[0].tolist()
    assert distances == pytest.approx([1.0, 0.5, 0.0], abs=1e-5)
    assert steps_to_reach(distances, 0.6) == 1
    assert steps_to_reach(distances, 0.05) == 2


def test_windowed_attention_sees_half_a_block_around_and_no_padding() -> None:
    torch.manual_seed(0)
    attention = WindowedAttention(8, 2, window_cells=4).eval()
    x, valid = torch.randn(1, 16, 8), torch.ones(1, 16, dtype=torch.bool)
    valid[0, 14:] = False
    with torch.no_grad():
        before = attention(x, valid)
        far, padding = x.clone(), x.clone()
        far[0, 0] += 5.0
        padding[0, 14:] += 5.0
        assert torch.equal(attention(far, valid)[0, 6:], before[0, 6:])
        assert not torch.equal(attention(far, valid)[0, 3], before[0, 3])
        assert torch.equal(attention(padding, valid)[0, :14], before[0, :14])


def test_witness_attention_listens_to_the_kept_witnesses_only() -> None:
    torch.manual_seed(0)
    attention = WitnessAttention(8, 2).eval()
    latents, queries = torch.randn(1, 5, 8), torch.randn(1, 2, 8)
    index, bias = torch.tensor([[[0, 1], [1, 2]]]), torch.zeros(1, 2, 2)
    other = latents.clone()
    other[0, 2:] += 1.0
    with torch.no_grad():
        before, after = (attention(queries, *attention.gather(x, index), bias) for x in (latents, other))
    assert torch.equal(before[0, 0], after[0, 0])
    assert not torch.equal(before[0, 1], after[0, 1])


@pytest.mark.parametrize("wrong", [{"dim": 90}, {"use_coarse": False, "use_refinement": False}])
def test_what_cannot_be_built_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"multiple of 2|nothing finds segments"):
        IamsbConfig(**wrong)  # type: ignore[arg-type]


#  cells      0   1   2   3   4   5   6   7
#  forged             1   1   1   1
#  start      .   .   S   .   .                  marked at cell 2, counts two cells around it: 0 to 4
#  end                            .   .   E      marked at cell 7: 5 to 7
#  [2, 6.5)           [================)         inside 4 / 4.5, start 1, end 1
#  [2, 5)             [==========)               inside 3 / 3, start 1, end half-way between cell 4's 0 and 5's 1
#  [1, 7)         [======================)       inside 4 / 6, start 1, end 1
#  [2, 3)             [===)                      inside 1 / 1, start 1, end 0
def test_what_the_cells_say_of_a_segment_by_hand() -> None:
    def marked(*cells: int) -> torch.Tensor:
        probability = torch.zeros(1, 8)
        probability[0, list(cells)] = 1.0
        return torch.logit(probability, eps=1e-6)

    dense = DenseOutputs(
        forged_logits=marked(2, 3, 4, 5),
        start_logits=marked(2),
        end_logits=marked(7),
        segments=torch.zeros(1, 8, 2),
        valid=torch.ones(1, 8, dtype=torch.bool),
        length_cells=torch.tensor([8.0]),
    )
    inside, edges = segment_evidence(dense, torch.tensor([[[2.0, 6.5], [2.0, 5.0], [1.0, 7.0], [2.0, 3.0]]]) / 8)
    np.testing.assert_allclose((inside * edges)[0], [4 / 4.5, 0.5**0.5, 4 / 6, 0.0], atol=2e-3)
