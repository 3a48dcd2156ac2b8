"""UMMAFormer: one clock for both streams, reconstruction that real clips alone train, levels that ask each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from batches import GENUINE, noise_batch

from iamsb_core.data.batch import Batch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.cells import Cells
from iamsb_core.systems.pyramid.levels import Level
from iamsb_core.systems.ummaformer import UmmaFormer, UmmaFormerConfig, paper
from iamsb_core.systems.ummaformer.clock import on_one_clock
from iamsb_core.systems.ummaformer.config import ReconstructionConfig
from iamsb_core.systems.ummaformer.cross_levels import CrossLevels
from iamsb_core.systems.ummaformer.reconstruction import Interpolator, reconstruction_error

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04),
)
TINY = UmmaFormerConfig(
    dim=16,
    num_heads=2,
    num_stem_blocks=1,
    num_levels=3,
    expansion=2,
    reconstruction=ReconstructionConfig(num_halvings=2, max_dim=32),
)


def batch(*forged: bool) -> Batch:
    """Clips of one second, with a forged sound where it is said so."""
    truth = [torch.tensor([[0.25, 0.6]]) if one else GENUINE for one in forged]
    return noise_batch(STREAMS, truth, visual_truth=[GENUINE] * len(forged), seconds=1.0)


def test_the_common_clock_by_hand() -> None:
    audio = Cells(torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]), torch.ones(1, 4, dtype=torch.bool), 0.02)
    visual = Cells(torch.tensor([[[10.0], [30.0]]]), torch.ones(1, 2, dtype=torch.bool), 0.04)
    cells = on_one_clock(audio, visual, torch.tensor([0.08]))
    # centres of 20 ms cells on 40 ms cells with centres at 20 and 60 ms: 10, 30, 50, 70 ms
    assert cells.values[0].tolist() == [[1.0, 10.0], [2.0, 15.0], [3.0, 25.0], [4.0, 30.0]]
    assert cells.hop_seconds == 0.02
    assert cells.known.all()


def test_a_stream_that_ends_early_or_is_not_there_is_zero_and_not_known() -> None:
    audio = Cells(torch.ones(2, 4, 1), torch.tensor([[True, False, False, False], [False] * 4]), 0.02)
    visual = Cells(torch.ones(2, 2, 1), torch.tensor([[True, True], [True, True]]), 0.04)
    cells = on_one_clock(audio, visual, torch.tensor([0.08, 0.08]))
    # one cell more than the stream has may be read: clocks of streams differ by up to a cell
    assert cells.known[0, :, 0].tolist() == [True, True, False, False]
    assert cells.values[0, :, 0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert not cells.known[1, :, 0].any()
    assert cells.valid.all()


def test_the_reconstruction_error_by_hand() -> None:
    x = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    reconstructed = torch.tensor([[[0.0, 2.0, 9.0], [4.0, 4.0, 9.0]]])
    known = torch.tensor([[[True, True], [True, False]]])
    # two audio features known in both cells: 1, 0, 0, 1; one visual feature in the first: 6; the second is not known
    error = reconstruction_error(x, reconstructed, known, (2, 1))
    assert error.tolist() == pytest.approx([8 / 5])
    assert reconstruction_error(x, reconstructed, known & False, (2, 1)).tolist() == [0.0]


def test_only_real_clips_train_the_interpolator() -> None:
    torch.manual_seed(0)
    system = UmmaFormer(TINY, STREAMS).train()
    gradients = []
    for given in (batch(True, True), batch(True, False), batch(False)):
        system.zero_grad(set_to_none=True)
        losses = system.losses(system(given), given)
        system.backward(losses)
        found = [weight.grad for weight in system.interpolator.parameters()]
        gradients.append([grad for grad in found if grad is not None and bool(grad.any())])
        assert bool(losses["reconstruction"] > 0.0) is bool(gradients[-1])
    assert [len(found) > 0 for found in gradients] == [False, True, True]


def test_the_interpolator_keeps_the_length_and_never_reads_padding() -> None:
    torch.manual_seed(0)
    interpolator = Interpolator(3, 3, 4, 8)
    valid = torch.arange(13) < torch.tensor([13, 6])[:, None]
    x = torch.randn(2, 13, 3) * valid[..., None]
    with torch.no_grad():
        together = interpolator(x, valid)
        alone = interpolator(x[1:, :6], valid[1:, :6])
    assert together.shape == x.shape
    torch.testing.assert_close(together[1:, :6], alone)


def test_a_level_asks_both_neighbours_and_no_other() -> None:
    torch.manual_seed(0)
    cross = CrossLevels(8, 2, 4, 7)
    levels = [Level(torch.randn(1, 16 >> k, 8), torch.ones(1, 16 >> k, dtype=torch.bool), 1 << k) for k in range(4)]
    with torch.no_grad():
        before = cross(levels)
        changed = [*levels]
        changed[1] = replace(levels[1], values=torch.randn(1, 8, 8))
        after = cross(changed)
    same = [torch.equal(a.values, b.values) for a, b in zip(before, after, strict=True)]
    assert same == [False, False, False, True]


def test_the_evidence_tells_how_badly_a_clip_was_reconstructed() -> None:
    torch.manual_seed(0)
    system, given = UmmaFormer(TINY, STREAMS).eval(), batch(True, False)
    with torch.no_grad():
        outputs = system(given)
    for row, clip in enumerate(system.propose(outputs, given)):
        assert clip.evidence["reconstruction_error"] == pytest.approx(outputs.reconstruction_error[row].item())
        assert 0.0 <= clip.evidence["fake_probability"] <= 1.0


def test_the_published_losses_and_decoding() -> None:
    config = paper()
    assert (config.loss.regression_weight, config.loss.label_smoothing, config.clip_weight) == (2.0, 0.1, 0.1)
    assert (config.decoding.sigma, config.decoding.voting_tiou) == (0.75, 0.9)
    with pytest.raises(ValueError, match="at least two"):
        replace(TINY, num_levels=1)
