"""Laws that IaMSB's proposals must keep whatever it has learned: batches, padding, swapped and missing streams."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from batches import chosen, padded
from tiny_iamsb import STREAMS, TINY, assert_same, batch, proposals, system

from iamsb_core.encoders.base import Streams
from iamsb_core.systems.base import create_system
from iamsb_core.systems.iamsb import Iamsb
from iamsb_core.systems.iamsb.dense import pooled_scores


def test_the_registry_makes_it_by_name() -> None:
    assert isinstance(create_system("iamsb", STREAMS, TINY), Iamsb)


def test_proposals_are_in_the_clip_sorted_and_as_many_as_the_recall_budget() -> None:
    for clip in proposals(system(), batch()):
        for part in (clip.audio, clip.visual):
            assert len(part) == TINY.coarse.num_queries
            assert (part[:, 0] >= 0.0).all()
            assert (part[:, 1] <= clip.duration_seconds + 1e-5).all()
            assert (part[:, 1] > part[:, 0]).all()
            assert (np.diff(part[:, 2]) <= 0.0).all()
        assert 0.0 <= clip.clip_score <= 1.0


def test_evidence_is_json_and_the_budgets_are_spent() -> None:
    for clip in proposals(system(), batch()):
        evidence = json.loads(json.dumps(clip.evidence, allow_nan=False))
        assert sum(evidence["step_budget"].values()) == evidence["step_budget_target"] == 8
        assert sum(evidence["query_budget"].values()) == evidence["query_budget_target"] == 12
        assert sum(evidence["weights"].values()) == pytest.approx(1.0, abs=1e-5)
        assert set(evidence["coupling"]) == {"residual", "matched_mass", "unmatched_mass", "entropy", "inconsistency"}
        assert evidence["control_energy"]["audio"]["refinement"] > 0.0
        assert len(evidence["witnesses"]["visual"]) == 3


def test_batch_mates_and_padding_change_nothing() -> None:
    made, given = system(), batch()
    for row, clip in enumerate(proposals(made, given)):
        assert_same(proposals(made, chosen(given, [row]))[0], clip)


@pytest.mark.parametrize(("before", "after"), [(0, 5), (3, 0), (11, 7)])
def test_a_clip_may_stand_anywhere_in_its_padding(before: int, after: int) -> None:
    made, given = system(), batch()
    for found, expected in zip(proposals(made, padded(given, before, after)), proposals(made, given), strict=True):
        assert_same(found, expected)


def test_swapping_the_streams_swaps_the_scores_and_leaves_the_fused_list() -> None:
    made, given = system(), batch()
    swapped = system(streams=Streams(audio=STREAMS.visual, visual=STREAMS.audio))
    swapped.networks[0], swapped.networks[1] = made.networks[1], made.networks[0]
    swapped.witness = made.witness
    other = proposals(swapped, replace(given, audio=given.visual, visual=given.audio))
    for found, expected in zip(other, proposals(made, given), strict=True):
        np.testing.assert_allclose(found.audio, expected.visual, atol=1e-5)
        np.testing.assert_allclose(found.visual, expected.audio, atol=1e-5)
        np.testing.assert_allclose(found.fused, expected.fused, atol=1e-5)
        scores, expected_scores = found.evidence["directional_scores"], expected.evidence["directional_scores"]
        assert scores["audio"] == pytest.approx(expected_scores["visual"], abs=1e-5)
        assert scores["audio"] != pytest.approx(scores["visual"], abs=1e-5)
        assert found.evidence["coupling"] == pytest.approx(expected.evidence["coupling"], abs=1e-5)


@pytest.mark.parametrize("use_coarse", [True, False])
def test_the_clip_probability_is_that_of_a_set_which_training_does_not_draw(use_coarse: bool) -> None:
    made = system(replace(TINY, use_coarse=use_coarse))
    with torch.no_grad():
        outputs = made(batch())
        for stream_outputs, network in zip((outputs.audio, outputs.visual), made.stream_networks(), strict=True):
            last = stream_outputs.coarse if use_coarse else stream_outputs.refined
            assert last is not None
            confidence, weight = last.final.logits.sigmoid(), made.config.output.evidence_weight
            pooled = pooled_scores(confidence, stream_outputs.dense, last.final.segments, weight)
            best = torch.where(last.queries, pooled, 0.0).amax(dim=1)
            slope, offset = network.calibration
            torch.testing.assert_close(stream_outputs.calibrated_logit, slope * best.logit() + offset)


def test_without_any_bridge_there_is_no_system() -> None:
    with pytest.raises(ValueError, match="nothing finds segments"):
        replace(TINY, use_coarse=False, use_refinement=False)


def test_a_missing_stream_says_nothing_and_leaves_the_budget_to_the_other() -> None:
    made, given = system(), batch(silent=(0, 2), blind=(1, 2))
    silent, blind, empty = proposals(made, given)
    assert (len(silent.audio), len(silent.visual)) == (0, 12)
    assert silent.evidence["step_budget"] == {"audio": 0, "visual": 8}
    assert blind.evidence["query_budget"] == {"audio": 12, "visual": 0}
    assert len(blind.visual) == 0
    assert (len(empty.fused), empty.clip_score) == (0, 0.0)
    json.dumps([clip.evidence for clip in (silent, blind, empty)], allow_nan=False)


def test_a_missing_stream_has_no_influence_on_the_other() -> None:
    made, given = system(), batch(silent=(0, 1, 2))
    loud = replace(given.audio, values=torch.full_like(given.audio.values, 9.0))
    for found, expected in zip(proposals(made, replace(given, audio=loud)), proposals(made, given), strict=True):
        assert_same(found, expected)


def test_normalisation_standardises_the_training_features() -> None:
    made, given = system(), batch()
    shifted = replace(
        given, audio=replace(given.audio, values=(5.0 + 3.0 * given.audio.values) * given.audio.valid[..., None])
    )
    made.fit_normalisation([shifted, shifted])
    standardise = made.stream_networks()[0].neck.features.standardise
    values = standardise(shifted.audio.values, shifted.audio.valid)[shifted.audio.valid]
    torch.testing.assert_close(values.mean(0), torch.zeros(10), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(values.std(0, unbiased=False), torch.ones(10), atol=1e-4, rtol=0.0)


def test_features_of_another_encoder_are_refused() -> None:
    given = batch()
    wrong = replace(given, visual=replace(given.visual, values=torch.zeros(3, 75, 9)))
    with pytest.raises(ValueError, match="reads features of 7 dims"):
        system()(wrong)


def test_the_state_survives_a_round_trip() -> None:
    made, other, given = system(), system(seed=1), batch()
    other.load_state_dict(made.state_dict())
    for found, expected in zip(proposals(other, given), proposals(made, given), strict=True):
        np.testing.assert_array_equal(found.fused, expected.fused)
