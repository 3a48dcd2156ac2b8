"""Laws that IaMSB must keep whatever it has learned: all of them on scrambled weights, so that nothing is at rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.systems.base import create_system
from iamsb_core.systems.iamsb import Iamsb, IamsbConfig, ablations
from iamsb_core.systems.iamsb.config import BudgetConfig, CoarseConfig, NeckConfig, RefinementConfig, WitnessConfig
from iamsb_core.systems.iamsb.dense import pooled_scores
from iamsb_core.systems.iamsb.heads import Windows
from iamsb_core.systems.iamsb.refinement import RunningClips
from iamsb_core.systems.iamsb.state import QueryState
from iamsb_core.systems.noise import Noise

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=10, hop_seconds=0.02, fine_dim=4, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=7, hop_seconds=0.04),
)
TINY = IamsbConfig(
    dim=16,
    num_heads=2,
    neck=NeckConfig(num_blocks=1, expansion=2, window_cells=8, edge_dim=6),
    coarse=CoarseConfig(num_queries=12, edge_points=5, hidden_multiple=2),
    witness=WitnessConfig(num_witnesses=4, hidden_dim=16),
    budget=BudgetConfig(num_steps=8),
    refinement=RefinementConfig(edge_points=5, fine_points=5, fine_dim=4, hidden_multiple=2),
)


def system(config: IamsbConfig = TINY, streams: Streams = STREAMS, seed: int = 0) -> Iamsb:
    """In evaluation, every parameter moved off its initial value."""
    torch.manual_seed(seed)
    made = Iamsb(config, streams).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def stream(spec: StreamSpec, seconds: Sequence[float], seed: int, absent: Sequence[int] = ()) -> StreamBatch:
    """Random features of clips of those lengths, and one forged segment in every other clip."""
    generator = torch.Generator().manual_seed(seed)
    counts = [0 if row in absent else round(length / spec.hop_seconds) for row, length in enumerate(seconds)]
    valid = torch.arange(max(*counts, 1)) < torch.tensor(counts)[:, None]
    values = torch.randn(*valid.shape, spec.dim, generator=generator) * valid[..., None]
    truth = [
        torch.tensor([[0.2, 0.5]]) if row % 2 and row not in absent else torch.zeros(0, 2) for row in range(len(counts))
    ]
    if not spec.fine_dim:
        return StreamBatch(values, valid, spec.hop_seconds, tuple(truth))
    counts = [0 if row in absent else round(length / spec.fine_hop_seconds) for row, length in enumerate(seconds)]
    fine_valid = torch.arange(max(*counts, 1)) < torch.tensor(counts)[:, None]
    fine = torch.randn(*fine_valid.shape, spec.fine_dim, generator=generator) * fine_valid[..., None]
    return StreamBatch(values, valid, spec.hop_seconds, tuple(truth), fine, fine_valid, spec.fine_hop_seconds)


def batch(
    seconds: Sequence[float] = (2.0, 1.2, 3.0), *, silent: Sequence[int] = (), blind: Sequence[int] = ()
) -> Batch:
    audio, visual = stream(STREAMS.audio, seconds, 1, silent), stream(STREAMS.visual, seconds, 2, blind)
    return Batch(audio, visual, torch.tensor(seconds), tuple(f"clip {row}" for row in range(len(seconds))))


def padded(given: StreamBatch, before: int, after: int) -> StreamBatch:
    """The same clips, later in a longer padding filled with what must not be read; the fine track keeps its ratio."""

    def widened(values: torch.Tensor, valid: torch.Tensor, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows, cells, dim = values.shape
        wide = torch.full((rows, cells + scale * (before + after), dim), 77.0)
        seen = torch.zeros(wide.shape[:2], dtype=torch.bool)
        wide[:, scale * before : scale * before + cells] = torch.where(valid[..., None], values, 77.0)
        seen[:, scale * before : scale * before + cells] = valid
        return wide, seen

    values, valid = widened(given.values, given.valid, 1)
    changed = replace(given, values=values, valid=valid)
    if given.fine_values is None or given.fine_valid is None:
        return changed
    fine_values, fine_valid = widened(given.fine_values, given.fine_valid, 4)
    return replace(changed, fine_values=fine_values, fine_valid=fine_valid)


def one(given: StreamBatch, row: int) -> StreamBatch:
    """One clip, cut to its own cells."""
    cells = int(given.valid[row].sum())
    alone = replace(
        given,
        values=given.values[row, None, :cells],
        valid=given.valid[row, None, :cells],
        truth=given.truth[row : row + 1],
    )
    if given.fine_values is None or given.fine_valid is None:
        return alone
    fine = int(given.fine_valid[row].sum())
    return replace(
        alone, fine_values=given.fine_values[row, None, :fine], fine_valid=given.fine_valid[row, None, :fine]
    )


def first(given: StreamBatch, num_clips: int) -> StreamBatch:
    """Without the later clips."""
    fine = None if given.fine_values is None else given.fine_values[:num_clips]
    return replace(
        given,
        values=given.values[:num_clips],
        valid=given.valid[:num_clips],
        truth=given.truth[:num_clips],
        fine_values=fine,
        fine_valid=None if given.fine_valid is None else given.fine_valid[:num_clips],
    )


def proposals(made: Iamsb, given: Batch) -> list[ClipProposals]:
    with torch.no_grad():
        return made.propose(made(given), given)


def assert_same(found: ClipProposals, expected: ClipProposals) -> None:
    for name in ("audio", "visual", "fused"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=2e-4)
    assert found.clip_score == pytest.approx(expected.clip_score, abs=1e-4)
    assert found.evidence["step_budget"] == expected.evidence["step_budget"]
    assert found.evidence["query_budget"] == expected.evidence["query_budget"]


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
    together = proposals(made, given)
    for row, clip in enumerate(together):
        alone = Batch(one(given.audio, row), one(given.visual, row), given.duration_seconds[row, None], ("alone",))
        assert_same(proposals(made, alone)[0], clip)


@pytest.mark.parametrize(("before", "after"), [(0, 5), (3, 0), (11, 7)])
def test_a_clip_may_stand_anywhere_in_its_padding(before: int, after: int) -> None:
    made, given = system(), batch()
    moved = replace(given, audio=padded(given.audio, before, after), visual=padded(given.visual, before, after))
    for found, expected in zip(proposals(made, moved), proposals(made, given), strict=True):
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


def candidates(made: Iamsb, given: Batch, place: int) -> tuple[RunningClips, QueryState]:
    """A state and the memory to run a bridge on, without witnesses."""
    network, part = made.stream_networks()[place], (given.audio, given.visual)[place]
    memory, dense = network.neck(part, given.duration_seconds, Noise(None))
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
            torch.testing.assert_close(permuted.segments, straight.segments, atol=1e-4, rtol=0.0)
            torch.testing.assert_close(permuted.logits, straight.logits, atol=1e-4, rtol=2e-3)
            torch.testing.assert_close(permuted.latents, straight.latents, atol=1e-3, rtol=2e-3)


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


@pytest.mark.parametrize("name", sorted(ablations(TINY)))
def test_every_ablation_runs_trains_and_proposes(name: str) -> None:
    made, given = system(ablations(TINY)[name]).train(), batch()
    losses = made.losses(made(given, torch.Generator().manual_seed(0)), given)
    losses["total"].backward()
    assert bool(torch.isfinite(losses["total"]))
    assert ("rank" in losses) == made.config.use_witness
    made.eval()
    clip = proposals(made, given)[0]
    assert len(clip.audio) == TINY.coarse.num_queries
    budget = clip.evidence["step_budget"]
    assert sum(budget.values()) == (8 if made.config.use_refinement else 0)
    if made.config.use_refinement and not made.config.use_witness:
        assert budget["audio"] == budget["visual"]


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


def test_a_clip_of_one_stream_does_not_weigh_on_how_the_others_share_their_budgets() -> None:
    made, given = system(), batch((2.0, 1.2, 1.6, 1.4), silent=(2,), blind=(3,))
    pair = Batch(first(given.audio, 2), first(given.visual, 2), given.duration_seconds[:2], given.video_ids[:2])
    with torch.no_grad():
        found, expected = (made.losses(made(clips), clips)["step_value"].item() for clips in (given, pair))
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("silent", [(0, 2), (0, 1, 2, 3)])
def test_training_with_missing_streams_gives_finite_gradients(silent: tuple[int, ...]) -> None:
    made, given = system().train(), batch((2.0, 1.2, 3.0, 1.0), silent=silent, blind=(1, 2))
    losses = made.losses(made(given, torch.Generator().manual_seed(0)), given)
    losses["total"].backward()
    gradients = [parameter.grad for parameter in made.parameters() if parameter.grad is not None]
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert any(bool(gradient.any()) for gradient in gradients)


def test_training_is_a_function_of_the_generator_and_evaluation_has_no_randomness() -> None:
    made, given = system().train(), batch()

    def total(seed: int) -> float:
        return made.losses(made(given, torch.Generator().manual_seed(seed)), given)["total"].item()

    assert total(3) == total(3)
    assert total(3) != total(4)
    made.eval()
    with torch.no_grad():
        assert torch.equal(made(given).audio.coarse.logits, made(given, torch.Generator()).audio.coarse.logits)


def test_bfloat16_autocast_keeps_segments_and_coupling_in_float32() -> None:
    made, given = system().train(), batch()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = made(given, torch.Generator().manual_seed(0))
        losses = made.losses(outputs, given)
    losses["total"].backward()
    assert outputs.witness is not None
    assert outputs.audio.coarse.segments.dtype == outputs.witness.statistics.dtype == torch.float32
    assert losses["total"].dtype == torch.float32
    assert bool(torch.isfinite(losses["total"]))


def test_normalisation_standardises_the_training_features() -> None:
    made, given = system(), batch()
    shifted = replace(
        given, audio=replace(given.audio, values=(5.0 + 3.0 * given.audio.values) * given.audio.valid[..., None])
    )
    made.fit_normalisation([shifted, shifted])
    standardise = made.stream_networks()[0].neck.standardise
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
