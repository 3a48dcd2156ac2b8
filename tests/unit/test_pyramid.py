"""What pyramid systems share: numbers to redo by hand, laws, and an independent reference for the attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.data.batch import StreamBatch
from iamsb_core.encoders.base import StreamSpec
from iamsb_core.systems.cells import Cells
from iamsb_core.systems.convolution import MaskedConv
from iamsb_core.systems.inputs import StreamInput
from iamsb_core.systems.noise import Noise
from iamsb_core.systems.pyramid.attention import LocalAttention
from iamsb_core.systems.pyramid.blocks import TransformerBlock
from iamsb_core.systems.pyramid.config import DecodingConfig, PyramidLossConfig, TargetConfig
from iamsb_core.systems.pyramid.decoding import stream_proposals, voted
from iamsb_core.systems.pyramid.heads import DualHead, StreamAnswers, Tower
from iamsb_core.systems.pyramid.layers import max_pooled
from iamsb_core.systems.pyramid.levels import Level, Points, level_row
from iamsb_core.systems.pyramid.losses import diou_loss, focal_loss, giou_loss, stream_losses
from iamsb_core.systems.pyramid.targets import dense_targets, level_range
from iamsb_core.systems.pyramid.top_down import TopDown, repeated

QUIET = Noise(None)


def cells(*lengths: int, dim: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random values of clips of those lengths, zero in the padding, and their validity."""
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    values = torch.randn(*valid.shape, dim, generator=torch.Generator().manual_seed(seed))
    return values * valid[..., None], valid


def points_of(*lengths: int) -> Points:
    """Of levels with those numbers of cells."""
    return level_row(
        [Level(torch.zeros(1, n, 1), torch.ones(1, n, dtype=torch.bool), 2**k) for k, n in enumerate(lengths)]
    ).points


def answers(
    points: Points, logits: torch.Tensor, distances: torch.Tensor, length_cells: float, clip_logit: float = 0.0
) -> StreamAnswers:
    """Of one clip that has the stream."""
    return StreamAnswers(
        points,
        logits[None],
        distances[None],
        torch.ones(1, len(logits), dtype=torch.bool),
        torch.tensor([length_cells]),
        torch.tensor([True]),
        torch.tensor([clip_logit]),
    )


# --- attention -------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 19))
def test_local_attention_is_full_attention_with_far_keys_hidden(first: int, second: int, window: int) -> None:
    torch.manual_seed(0)
    attention = LocalAttention(8, 2, window).eval()
    x, valid = cells(first, second)
    place = torch.arange(x.shape[1])
    near = (place[:, None] - place).abs() <= window // 2
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with torch.no_grad():
        parts = (attention.query, attention.key, attention.value)
        reference.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        reference.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        reference.out_proj.load_state_dict(attention.output.state_dict())
        found = attention(x, x, x, valid)
        for row, length in enumerate((first, second)):
            one = x[row, None, :length]
            expected, _ = reference(one, one, one, attn_mask=~near[:length, :length], need_weights=False)
            torch.testing.assert_close(found[row, None, :length], expected, atol=1e-5, rtol=1e-4)


def test_a_cell_beyond_half_a_window_is_not_seen_and_without_a_window_all_are() -> None:
    x, valid = cells(50)
    other = x.clone()
    other[0, 30] += 5.0
    for window, changed_cells in ((8, range(26, 35)), (None, range(50))):
        torch.manual_seed(0)
        attention = LocalAttention(8, 2, window)
        with torch.no_grad():
            moved = (attention(x, x, x, valid) - attention(other, other, other, valid)).abs().amax(dim=-1)[0]
        assert (moved > 1e-6).nonzero()[:, 0].tolist() == list(changed_cells)


@pytest.mark.parametrize(("dim", "window", "message"), [(9, 4, "multiple"), (8, 1, "at least 2")])
def test_attention_that_cannot_be_built_is_refused(dim: int, window: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalAttention(dim, 2, window)


# --- layers and levels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_a_block_gives_each_clip_what_it_gives_it_alone(stride: int) -> None:
    torch.manual_seed(0)
    block = TransformerBlock(8, 2, 6, stride=stride).eval()
    x, valid = cells(21, 8, 13)
    with torch.no_grad():
        together = block(x, valid, QUIET)
        for row, length in enumerate((21, 8, 13)):
            alone = block(x[row, None, :length], valid[row, None, :length], QUIET)
            kept = -(-length // stride)
            torch.testing.assert_close(together[row, :kept], alone[0], atol=1e-5, rtol=1e-4)
            assert not together[row, kept:].any()


def test_pooling_takes_the_largest_of_three_inside_the_clip() -> None:
    x, valid = torch.tensor([[[-3.0], [-1.0], [-5.0], [-4.0], [0.0]]]), torch.tensor([[True, True, True, True, False]])
    # even cells: max(-3, -1), max(-1, -5, -4), and nothing of cell 4, which is padding
    assert max_pooled(x, valid)[0, :, 0].tolist() == [-1.0, -1.0, 0.0]


def test_levels_in_a_row_do_not_touch_each_other() -> None:
    torch.manual_seed(0)
    tower = Tower(8, 2, 1)
    levels = [Level(*cells(n, dim=8, seed=n), 2**k) for k, n in enumerate((9, 5, 3))]
    row = level_row(levels)
    with torch.no_grad():
        joined = tower(row.values, row.valid)[:, row.index]
        apart = torch.cat([tower(level.values, level.valid) for level in levels], dim=1)
    torch.testing.assert_close(joined, apart)
    # cell i of a stride s grew from finest cell i s, whose centre is i s + 0.5
    assert row.points.centre_cells.tolist() == [i + 0.5 for i in [*range(9), 0, 2, 4, 6, 8, 0, 4, 8]]
    assert row.points.stride_cells.tolist() == [1] * 9 + [2] * 5 + [4] * 3


def test_the_way_down_reaches_the_finest_level_from_the_coarsest() -> None:
    torch.manual_seed(0)
    top_down = TopDown(8, 3)
    levels = [Level(*cells(n, seed=n), 2**k) for k, n in enumerate((8, 4, 2))]
    other = [*levels[:2], Level(levels[2].values + 1.0, levels[2].valid, 4)]
    with torch.no_grad():
        moved = (top_down(levels)[0].values - top_down(other)[0].values).abs().amax(dim=-1)
    assert (moved > 1e-4).all()
    assert repeated(torch.tensor([[[1.0], [2.0]]]), 3)[0, :, 0].tolist() == [1.0, 1.0, 2.0]


def test_a_stride_of_two_keeps_even_cells() -> None:
    convolution = MaskedConv(1, 1, 3, stride=2)
    with torch.no_grad():
        convolution.convolution.weight.copy_(torch.tensor([[[1.0, 10.0, 100.0]]]))
        convolution.convolution.bias.zero_()
        y = convolution(torch.tensor([[[1.0], [2.0], [3.0], [4.0], [5.0]]]), torch.ones(1, 5, dtype=torch.bool))
    # x0*10 + x1*100; x1 + x2*10 + x3*100; x3 + x4*10
    assert y[0, :, 0].tolist() == [210.0, 432.0, 54.0]


# --- inputs ----------------------------------------------------------------------------------------------------


def test_the_fine_cells_of_a_cell_stand_beside_its_features() -> None:
    spec = StreamSpec(encoder_identity="a", dim=1, hop_seconds=0.02, fine_dim=1, fine_hop_seconds=0.01)
    main, fine = torch.tensor([[[1.0], [2.0]]]), torch.tensor([[[3.0], [4.0], [5.0], [6.0]]])
    exists, fine_exists = torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool)
    stream = StreamBatch(main, exists, 0.02, (torch.zeros(0, 2),), fine, fine_exists, 0.01)
    cells = StreamInput(spec)(stream, QUIET)
    assert cells.values[0].tolist() == [[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]]
    assert cells.valid.all()


def test_another_clock_is_read_at_the_centres_of_the_cells() -> None:
    values, valid = torch.tensor([[[0.0], [4.0]], [[9.0], [9.0]]]), torch.tensor([[True, True], [False, False]])
    # centres of 10 ms cells on a 20 ms clock: 0.25, 0.75, 1.25, 1.75 cells; cell centres are at 0.5 and 1.5
    own = torch.ones(2, 4, dtype=torch.bool)
    read = Cells(values * valid[..., None], valid, 0.02).at(Cells(torch.zeros(2, 4, 0), own, 0.01))
    assert read[0, :, 0].tolist() == [0.0, 1.0, 3.0, 4.0]
    assert not read[1].any()


# --- targets and losses ----------------------------------------------------------------------------------------


def test_a_segment_is_given_to_the_level_of_its_length_around_its_centre() -> None:
    points = points_of(32, 16, 8)
    config = TargetConfig(centre_radius=1.5, first_range_cells=4.0)
    truth = torch.tensor([[[2 / 32, 8 / 32], [12 / 32, 28 / 32]]])
    targets = dense_targets(points, truth, torch.ones(1, 2, dtype=torch.bool), torch.tensor([32.0]), config)
    found = [
        (int(points.stride_cells[i]), float(points.centre_cells[i])) for i in targets.responsible[0].nonzero()[:, 0]
    ]
    # [2, 8) has its centre at 5. Stride 1, ends nearer than 4: 4.5 and 5.5. Stride 2, farther end 4 to 8 away: 2.5 and
    # 6.5, but not 4.5, whose ends are 2.5 and 3.5 away. [12, 28) has its centre at 20, and an end 8 or more away from
    # everywhere: stride 4, within 6 cells of the centre
    assert found == [(1, 4.5), (1, 5.5), (2, 2.5), (2, 6.5), (4, 16.5), (4, 20.5), (4, 24.5)]
    assert targets.segments[0, 4].tolist() == [2 / 32, 8 / 32]


def test_every_distance_has_one_level() -> None:
    points = points_of(8, 4, 2)
    low, high = level_range(points, TargetConfig(first_range_cells=6.0))
    assert sorted({(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)}) == [
        (0.0, 6.0),
        (6.0, 12.0),
        (12.0, float("inf")),
    ]


@settings(deadline=None, max_examples=50)
@given(st.floats(0.0, 24.0), st.floats(1.01, 40.0))
def test_every_segment_longer_than_a_cell_has_a_cell_that_answers(start: float, length: float) -> None:
    truth = torch.tensor([[[start / 64.0, (start + length) / 64.0]]])
    points, length_cells = points_of(64, 32, 16, 8), torch.tensor([64.0])
    assert dense_targets(points, truth, torch.tensor([[True]]), length_cells, TargetConfig()).responsible.any()


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([0.0, 0.0, 0.0])
    target, positive = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([True, False, True])
    loss = focal_loss(logits, target, positive, gamma=2.0, alpha=0.25)
    # BCE is ln 2 each; (1 - 0.5)^2 = 0.25; 0.25 of positives, 0.75 of negatives; quality met: nothing
    torch.testing.assert_close(loss, np.log(2) * torch.tensor([0.25 * 0.25, 0.75 * 0.25, 0.0]))


def test_overlap_losses_by_hand() -> None:
    found, wanted = torch.tensor([[0.0, 2.0], [0.0, 1.0]]), torch.tensor([[1.0, 4.0], [3.0, 4.0]])
    # [0, 2) and [1, 4): tiou 1/4, centres 1 and 2.5, hull 4, no gap; [0, 1) and [3, 4): tiou 0, 3 apart, gap 2 of 4
    torch.testing.assert_close(diou_loss(found, wanted), torch.tensor([0.75 + (1.5 / 4) ** 2, 1.0 + (3 / 4) ** 2]))
    torch.testing.assert_close(giou_loss(found, wanted), torch.tensor([0.75, 1.0 + 2 / 4]))
    torch.testing.assert_close(diou_loss(wanted, wanted), torch.zeros(2))


def test_only_responsible_points_are_regressed_and_quality_is_their_tiou() -> None:
    points = points_of(8)
    config = TargetConfig(first_range_cells=8.0)
    logits, distances = torch.zeros(8), torch.ones(8, 2)
    distances[4:] = 50.0
    truth = (torch.tensor([[1 / 8, 4 / 8]]),)
    plain = stream_losses(answers(points, logits, distances, 8.0), truth, config, PyramidLossConfig())
    # cells at 1.5, 2.5, 3.5 lie within 1.5 of 2.5 inside [1, 4); their segments are [c - 1, c + 1)
    found = torch.tensor([[0.5, 2.5], [1.5, 3.5], [2.5, 4.5]])
    expected = diou_loss(found, torch.tensor([[1.0, 4.0]]).expand(3, 2)).mean()
    torch.testing.assert_close(plain["regression"], expected)
    # 3 positives at 1/4 of ln 2 / 4, 5 negatives at 3/4 of it, over 3 responsible points
    torch.testing.assert_close(
        plain["classification"], torch.tensor((3 * 0.25 + 5 * 0.75) * 0.25 * np.log(2) / 3).float()
    )
    torch.testing.assert_close(plain["calibration"], torch.tensor(np.log(2)).float())
    quality = stream_losses(
        answers(points, logits, distances, 8.0), truth, config, PyramidLossConfig(quality_target=True)
    )
    assert quality["classification"] < plain["classification"]


# --- heads and decoding ----------------------------------------------------------------------------------------


def test_untrained_cells_say_one_in_a_hundred_and_a_missing_stream_nothing() -> None:
    torch.manual_seed(0)
    head = DualHead(8, 2, 1)
    levels = [Level(torch.zeros(2, n, 8), torch.ones(2, n, dtype=torch.bool), 2**k) for k, n in enumerate((6, 3))]
    said = head(levels, torch.tensor([6.0, 6.0]), torch.tensor([True, False]))
    torch.testing.assert_close(said.logits.sigmoid(), torch.full((2, 9), 0.01), atol=5e-3, rtol=0.0)
    assert said.valid.tolist() == [[True] * 9, [False] * 9]
    assert torch.isfinite(said.clip_logit).all()


def test_segments_stay_inside_the_clip_and_have_a_length() -> None:
    points = points_of(4)
    distances = torch.tensor([[9.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.5, 9.0]])
    segments = answers(points, torch.zeros(4), distances, 4.0).segments[0]
    assert segments.min() >= 0.0
    assert segments.max() <= 1.0
    assert ((segments[:, 1] - segments[:, 0]) >= 0.25 - 1e-6).all()
    assert segments[2].tolist() == pytest.approx([1.5 / 4, 3.5 / 4])


def test_voting_by_hand() -> None:
    candidates = np.array([[0.0, 2.0, 0.8], [0.0, 2.2, 0.4], [5.0, 6.0, 0.9]], dtype=np.float32)
    moved = voted(candidates[:1], candidates, 0.7)
    # tiou 1 and 2 / 2.2; weights 0.8 and 0.4 / 1.1
    expected = (0.8 * 2.0 + 0.4 / 1.1 * 2.2) / (0.8 + 0.4 / 1.1)
    assert moved[0].tolist() == pytest.approx([0.0, expected, 0.8])
    still = voted(np.array([[8.0, 9.0, 0.1]], dtype=np.float32), candidates, 0.7)
    assert still[0].tolist() == pytest.approx([8.0, 9.0, 0.1])


@pytest.mark.parametrize(("suppression", "scores"), [("hard", [0.9, 0.2]), ("soft", [0.9, 0.8 * np.exp(-2.0), 0.2])])
def test_suppression_in_seconds(suppression: str, scores: list[float]) -> None:
    points = points_of(8)
    logits, distances = torch.full((8,), -30.0), torch.full((8, 2), 0.5)
    for place, score in ((1, 0.9), (2, 0.8), (6, 0.2)):
        logits[place] = float(np.log(score / (1 - score)))
    distances[1], distances[2] = torch.tensor([1.5, 2.5]), torch.tensor([2.5, 1.5])  # both are [0, 4)
    config = DecodingConfig(suppression=suppression, voting_tiou=None, num_candidates=3)  # type: ignore[arg-type]
    (kept,) = stream_proposals(answers(points, logits, distances, 8.0), torch.tensor([4.0]), config)
    found = sorted(kept[:, 2].tolist(), reverse=True)
    assert found == pytest.approx(sorted(scores, reverse=True), abs=1e-5)
    assert kept[0, :2].tolist() == pytest.approx([0.0, 2.0])
