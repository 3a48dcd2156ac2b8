"""The dense localiser: what its switches do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.dense_localizer import DenseLocalizer, DenseLocalizerConfig, paper

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02, fine_dim=3, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04),
)
TINY = DenseLocalizerConfig(dim=16, num_heads=2, num_stem_blocks=1, num_levels=3, window_cells=6, expansion=2)


def made(config: DenseLocalizerConfig) -> DenseLocalizer:
    torch.manual_seed(0)
    return DenseLocalizer(config, STREAMS).eval()


def batch(seconds: float = 1.0, *, blind: bool = False) -> Batch:
    """One clip with a forgery in either stream."""
    torch.manual_seed(1)
    truth = (torch.tensor([[0.25, 0.6]]),)
    heard, fine, seen = (torch.randn(1, round(seconds * rate), dim) for rate, dim in ((50, 6), (200, 3), (25, 5)))
    exists = [torch.ones(x.shape[:2], dtype=torch.bool) for x in (heard, fine, seen)]
    audio = StreamBatch(heard, exists[0], 0.02, truth, fine, exists[1], 0.005)
    visual = StreamBatch(seen * (not blind), exists[2] & (not blind), 0.04, (truth[0][: int(not blind)],))
    return Batch(audio, visual, torch.tensor([seconds]), ("clip",))


@pytest.mark.parametrize("cross_modal", [True, False])
def test_a_stream_reads_the_other_only_where_it_should(cross_modal: bool) -> None:
    system, given = made(replace(TINY, cross_modal=cross_modal)), batch()
    other = replace(given, visual=replace(given.visual, values=given.visual.values + 1.0))
    with torch.no_grad():
        same = torch.equal(system(given).audio.logits, system(other).audio.logits)
    assert same is not cross_modal


def test_a_stream_that_is_not_there_adds_nothing_to_the_other() -> None:
    system, given = made(TINY), batch(blind=True)
    garbage = replace(given, visual=replace(given.visual, values=given.visual.values + 9.0))
    alone = made(replace(TINY, cross_modal=False))
    alone.load_state_dict(system.state_dict(), strict=False)
    with torch.no_grad():
        expected = alone(given).audio.logits
        for one in (given, garbage):
            torch.testing.assert_close(system(one).audio.logits, expected)


def test_levels_halve_and_the_finest_has_every_cell() -> None:
    with torch.no_grad():
        outputs = made(TINY)(batch())
    for answers, num_cells in ((outputs.audio, 50), (outputs.visual, 25)):
        assert torch.bincount(answers.points.level).tolist() == [num_cells, -(-num_cells // 2), -(-num_cells // 4)]


@pytest.mark.parametrize(
    "change",
    [{"top_down": True}, {"window_cells": None}, {"num_stem_blocks": 0}, {"num_levels": 1}, {"use_fine": False}],
)
def test_every_variant_runs_and_learns(change: dict[str, int | bool | None]) -> None:
    system, given = made(replace(TINY, **change)).train(), batch()
    losses = system.losses(system(given, torch.Generator().manual_seed(0)), given)
    system.backward(losses)
    assert all(weight.grad is not None for weight in system.parameters())
    assert len(system.propose(system.eval()(given), given)[0].fused) > 0


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of num_heads"):
        replace(TINY, dim=15)
    with pytest.raises(ValueError, match="a level, at least"):
        replace(TINY, num_levels=0)


def test_the_published_size() -> None:
    config = paper()
    assert (config.dim, config.num_heads, config.window_cells, config.num_levels) == (512, 4, 19, 6)
    assert (config.targets.centre_radius, config.decoding.suppression, config.decoding.sigma) == (1.5, "soft", 0.5)
