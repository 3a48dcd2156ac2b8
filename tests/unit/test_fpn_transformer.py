"""FPN-Transformer: its difference convolution by hand, its windows, its recurrence, its schedules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import noise_batch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.fpn_transformer import FpnTransformer, FpnTransformerConfig, paper, published
from iamsb_core.systems.fpn_transformer.blocks import Recurrence
from iamsb_core.systems.fpn_transformer.difference import TemporalDifferenceConv
from iamsb_core.training.optimizer import learning_rate
from iamsb_core.training.recipes import training_recipe

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04),
)
TINY = FpnTransformerConfig(dim=16, num_heads=2, num_stem_blocks=1, num_levels=3, window_cells=16, expansion=2)


def made(config: FpnTransformerConfig) -> FpnTransformer:
    torch.manual_seed(0)
    return FpnTransformer(config, STREAMS).eval()


def batch(seconds: float = 1.2) -> Batch:
    """One clip with a forgery in either stream."""
    return noise_batch(STREAMS, [torch.tensor([[0.25, 0.6]])], seconds=seconds)


def difference(theta: float, kind: str, weight: tuple[float, float, float], x: list[float]) -> list[float]:
    """One channel through the convolution, without its bias."""
    convolution = TemporalDifferenceConv(1, 1, theta=theta, difference=kind)  # type: ignore[arg-type]
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weight)[None, :, None])
        y = convolution(torch.tensor(x)[None, :, None], torch.ones(1, len(x), dtype=torch.bool))
    return y[0, :, 0].tolist()


def test_the_central_difference_by_hand() -> None:
    # x = 1, 2, 4; w = 1, 10, 100; theta 0.6
    # first: 10 (1 - .6) + 100 (2 - .6) = 144; nothing stands before it
    # middle: (1 - 1.2) + 10 (2 - 1.2) + 100 (4 - 1.2) = 287.8
    # last: (2 - 2.4) + 10 (4 - 2.4) = 15.6
    found = difference(0.6, "central", (1.0, 10.0, 100.0), [1.0, 2.0, 4.0])
    assert found == pytest.approx([144.0, 287.8, 15.6], rel=1e-5)


def test_the_published_difference_by_hand() -> None:
    # the convolution gives 210, 421, 42; less 0.6 (100 - 1) x
    found = difference(0.6, "telescoped", (1.0, 10.0, 100.0), [1.0, 2.0, 4.0])
    assert found == pytest.approx([210 - 59.4, 421 - 118.8, 42 - 237.6], rel=1e-5)


@pytest.mark.parametrize("kind", ["central", "telescoped"])
def test_without_theta_it_is_a_convolution(kind: str) -> None:
    weight, x = (0.3, -1.2, 0.7), [1.0, -2.0, 0.5, 3.0]
    expected = np.convolve(x, weight[::-1], mode="same")
    assert difference(0.0, kind, weight, x) == pytest.approx(expected.tolist(), abs=1e-6)


def test_a_constant_has_no_difference() -> None:
    assert difference(1.0, "central", (0.3, -1.2, 0.7), [5.0] * 4) == pytest.approx([0.0] * 4, abs=1e-6)


def test_the_recurrence_is_a_bidirectional_lstm_over_each_clip() -> None:
    torch.manual_seed(0)
    recurrence, lengths = Recurrence(8), torch.tensor([7, 3, 5])
    valid = torch.arange(7) < lengths[:, None]
    x = torch.randn(3, 7, 8) * valid[..., None]
    reference = torch.nn.LSTM(8, 4, batch_first=True, bidirectional=True)
    onward, backward = (way.state_dict() for way in recurrence.ways)
    reference.load_state_dict({**onward, **{f"{name}_reverse": value for name, value in backward.items()}})
    with torch.no_grad():
        packed = pack_padded_sequence(recurrence.norm(x), lengths, batch_first=True, enforce_sorted=False)
        expected = pad_packed_sequence(reference(packed)[0], batch_first=True)[0]
        torch.testing.assert_close(recurrence(x, valid), expected)


@pytest.mark.parametrize("window", [16, 32, 64, 128, None])
def test_every_window_is_the_same_model_and_a_wide_one_sees_all(window: int | None) -> None:
    system, everything = made(replace(TINY, window_cells=window)), made(replace(TINY, window_cells=None))
    everything.load_state_dict(system.state_dict())
    with torch.no_grad():
        found, expected = (one(batch()).audio.logits for one in (system, everything))
    # 60 cells: half of 128 reaches from one end to the other, half of 64 does not
    assert torch.allclose(found, expected, atol=1e-5) is (window in (128, None))


def test_the_streams_never_meet() -> None:
    system, given = made(TINY), batch()
    other = replace(given, visual=replace(given.visual, values=given.visual.values + 1.0))
    with torch.no_grad():
        torch.testing.assert_close(system(given).audio.logits, system(other).audio.logits, rtol=0.0, atol=0.0)


def test_joint_scoring_of_the_published_code_is_the_plain_union() -> None:
    config = replace(TINY, decoding=published().decoding)
    system, given = made(config), batch()
    (clip,) = system.propose(system(given), given)
    both = np.concatenate([clip.audio, clip.visual])
    expected = both[np.argsort(-both[:, 2], kind="stable")]
    np.testing.assert_array_equal(clip.fused, expected[: config.decoding.max_proposals])


@pytest.mark.parametrize(("flag", "moved"), [("audio_positions", [True, False]), ("visual_positions", [False, True])])
def test_positions_move_the_stream_that_has_them(flag: str, moved: list[bool]) -> None:
    config, given = replace(TINY, audio_positions=False, visual_positions=False), batch()
    with torch.no_grad():
        without, with_them = made(config)(given), made(replace(config, **{flag: True}))(given)
    pairs = ((without.audio, with_them.audio), (without.visual, with_them.visual))
    assert [not torch.equal(before.logits, after.logits) for before, after in pairs] == moved


def test_the_recurrence_may_be_switched_off() -> None:
    system, given = made(replace(TINY, recurrent=False)).train(), batch()
    system.backward(system.losses(system(given, torch.Generator().manual_seed(0)), given))
    assert not any("recurrence" in name for name, _ in system.named_parameters())
    assert all(weight.grad is not None for weight in system.parameters())


def test_paper_and_published_code_differ_where_they_are_known_to() -> None:
    assert (paper().num_stem_blocks + paper().num_levels - 1, paper().num_levels) == (6, 5)
    assert paper().window_cells is not None
    assert (published().num_stem_blocks + published().num_levels - 1, published().num_levels) == (6, 6)
    assert published().window_cells is None
    assert paper().loss.classification_weight == published().loss.classification_weight == 0.01


def test_the_paper_stops_in_the_warm_up_and_the_long_schedule_goes_on() -> None:
    short, long = (training_recipe("paper", "fpn-transformer", name) for name in ("paper", "long"))
    assert (short.epochs, long.epochs, short.batch_size) == (3, 95, 64)
    steps = 100
    # after 3 of 5 warm-up epochs the rate is 3/5 of its peak, and on the way the two are the same
    assert learning_rate(3 * steps - 1, 3 * steps, short) == pytest.approx(0.6e-3)
    for step in (0, 150, 299):
        assert learning_rate(step, 3 * steps, short) == pytest.approx(learning_rate(step, 95 * steps, long), rel=1e-3)
    assert learning_rate(95 * steps - 1, 95 * steps, long) < 2e-5


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="theta is a share"):
        replace(TINY, theta=1.2)
    with pytest.raises(ValueError, match="2 \\* num_heads"):
        replace(TINY, dim=18)
