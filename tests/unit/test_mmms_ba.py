"""MMMS-BA: its attention by hand, its modes and modalities, and that it learns."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from batches import shifted_batch

from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.systems.mmms_ba import MmmsBa, MmmsBaConfig
from iamsb_core.systems.mmms_ba.attention import across, bimodal, gated, within

AUDIO = StreamSpec(encoder_identity="a", dim=6, hop_seconds=0.02)
FACE = StreamSpec(encoder_identity="v", dim=5, hop_seconds=0.04)
LIPS = replace(FACE, fine_dim=5, fine_hop_seconds=0.04)
STREAMS, WITH_LIPS = Streams(audio=AUDIO, visual=FACE), Streams(audio=AUDIO, visual=LIPS)
TINY = MmmsBaConfig(hidden_dim=12, dim=8, head_dim=16, dropout=0.0, feature_masking=0.0)


def test_gated_attention_by_hand() -> None:
    """One cell of x = 2 against y = (0, ln 3): matching (0, 2 ln 3), weights 1/10 and 9/10; found .9 ln 3, times 2."""
    x, y = torch.tensor([[[2.0]]]), torch.tensor([[[0.0], [math.log(3.0)]]])
    seen = torch.ones(1, 2, dtype=torch.bool)
    assert gated(x, y, seen).item() == pytest.approx(2 * 0.9 * math.log(3.0))
    assert gated(x, y, torch.tensor([[True, False]])).item() == 0.0


def test_each_pair_gives_both_its_sides_in_the_papers_order() -> None:
    torch.manual_seed(0)
    sequences = {name: torch.randn(2, 3, 4) for name in ("audio", "face", "lips")}
    seen = {name: torch.ones(2, 3, dtype=torch.bool) for name in sequences}
    found = bimodal(sequences, seen)
    assert len(found) == 6
    torch.testing.assert_close(found[0], gated(sequences["face"], sequences["lips"], seen["lips"]))
    torch.testing.assert_close(found[5], gated(sequences["face"], sequences["audio"], seen["audio"]))
    seen["audio"] = torch.tensor([[True] * 3, [False] * 3])
    silent = bimodal(sequences, seen)
    assert not torch.stack(silent[2:])[:, 1].any()  # every pair with the sound that is not there
    torch.testing.assert_close(torch.stack(silent[:2]), torch.stack(found[:2]))


def test_the_other_modes_by_hand() -> None:
    """Across one cell with 1 and ln 3: matching of the first is (1, ln 3), so weights e and 3 over e + 3."""
    sequences = {"audio": torch.tensor([[[1.0]]]), "face": torch.tensor([[[math.log(3.0)]]])}
    seen = {name: torch.ones(1, 1, dtype=torch.bool) for name in sequences}
    first, _ = across(sequences, seen)
    assert first.item() == pytest.approx((math.e + 3.0 * math.log(3.0)) / (math.e + 3.0))
    assert [one.item() for one in within(sequences, seen)] == pytest.approx([1.0, math.log(3.0) ** 2])


@pytest.mark.parametrize("mode", ["mmms-ba", "mmus-sa", "ms-sa"])
@pytest.mark.parametrize("modalities", [None, ("audio", "lips"), ("audio", "face")])
def test_every_mode_with_every_subset_gives_finite_losses(mode: str, modalities: tuple[str, ...] | None) -> None:
    torch.manual_seed(0)
    made = MmmsBa(replace(TINY, mode=mode, modalities=modalities), WITH_LIPS)
    batch = shifted_batch(WITH_LIPS, 3, 1.0)
    losses = made.losses(made(batch), batch)
    made.backward(losses)
    assert torch.isfinite(losses["total"])
    unread = {"face", "lips", "audio"} - set(modalities or ("face", "lips", "audio"))
    assert not unread & set(made.sequences)


def test_lips_are_read_where_there_are_some() -> None:
    assert MmmsBa(TINY, STREAMS).names == ("audio", "face")
    assert MmmsBa(TINY, WITH_LIPS).names == ("audio", "face", "lips")
    with pytest.raises(ValueError, match="the features have no lips"):
        MmmsBa(replace(TINY, modalities=("audio", "lips")), STREAMS)
    with pytest.raises(ValueError, match="each once"):
        MmmsBaConfig(modalities=("audio", "audio"))
    with pytest.raises(ValueError, match="two modalities"):
        MmmsBaConfig(modalities=("lips",))
