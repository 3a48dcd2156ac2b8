"""What every registered system must do, whatever it is made of. A new system is in these tests as it is registered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import iamsb_core.systems  # noqa: F401 - registers them all
from iamsb_core.configuration import parse
from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.digest import plain
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Modality, stream_name
from iamsb_core.systems.base import System, create_system, system_names, system_type
from iamsb_core.systems.segments import pairwise_tiou
from iamsb_core.training.model_folder import ModelCard, load_model, save_model
from iamsb_core.training.recipes import training_recipe

SPECS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=12, hop_seconds=0.02, fine_dim=4, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=9, hop_seconds=0.04),
)
SECONDS = (2.0, 2.6, 3.0, 2.4)
TRUTH: Mapping[Modality, tuple[list[tuple[float, float]], ...]] = {
    Modality.AUDIO: ([(0.6, 1.2)], [], [(0.36, 0.84), (1.92, 2.76)], []),
    Modality.VISUAL: ([], [(0.8, 2.04)], [(0.36, 0.84)], []),
}
"""audio only, visual only, both, none; all boundaries on edges of both clocks' cells"""

SMALLER: Mapping[str, Mapping[str, Any]] = {
    "iamsb": {"dim": 32, "num_heads": 2, "coarse": {"num_queries": 16}},
    "ba-tfd-plus": {"dim": 32},
    "dense-localizer": {"dim": 32, "num_levels": 4},
    "fpn-transformer": {"dim": 32, "num_levels": 4},
    "ummaformer": {"dim": 32, "num_levels": 4},
}
"""fields that make a system's compact preset quicker still; one that is not here is tested at its compact size"""

pytestmark = pytest.mark.parametrize("name", system_names())


def changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return base | {k: changed(base[k], v) if isinstance(v, Mapping) else v for k, v in changes.items()}


def small_config(name: str) -> Any:
    kind = system_type(name)
    compact = plain(kind.presets.get("compact", kind.config_type)())
    return parse(kind.config_type, changed(compact, SMALLER.get(name, {})))


def made(name: str, *, scrambled: bool = True) -> System[Any]:
    """In evaluation; scrambled: every parameter moved off its initial value, so that nothing is at rest."""
    torch.manual_seed(0)
    system = create_system(name, SPECS, small_config(name)).eval()
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * scrambled)
    return system


def stream(
    modality: Modality, seconds: Sequence[float], truth: Sequence[list[tuple[float, float]]], absent: Sequence[int]
) -> StreamBatch:
    """Noise with a direction of its own in the cells of a forgery; rows of `absent` have no such stream."""
    spec = SPECS.of(modality)
    seed = modality.value
    values, valid = _track(seconds, truth, absent, dim=spec.dim, hop_seconds=spec.hop_seconds, seed=seed)
    fine: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None)
    if spec.fine_dim:
        hop_seconds = spec.fine_hop_seconds
        fine = _track(seconds, truth, absent, dim=spec.fine_dim, hop_seconds=hop_seconds, seed=seed + 10)
    shares = tuple(
        torch.tensor([] if row in absent else segments, dtype=torch.float32).reshape(-1, 2) / length
        for row, (segments, length) in enumerate(zip(truth, seconds, strict=True))
    )
    return StreamBatch(values, valid, spec.hop_seconds, shares, *fine, spec.fine_hop_seconds)


def _track(
    seconds: Sequence[float],
    truth: Sequence[list[tuple[float, float]]],
    absent: Sequence[int],
    *,
    dim: int,
    hop_seconds: float,
    seed: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    direction = 2.0 * rng.standard_normal(dim)
    counts = [0 if row in absent else round(length / hop_seconds) for row, length in enumerate(seconds)]
    values = torch.zeros(len(seconds), max(*counts, 1), dim)
    valid = torch.zeros(values.shape[:2], dtype=torch.bool)
    for row, (count, segments) in enumerate(zip(counts, truth, strict=True)):
        features = rng.standard_normal((count, dim))
        centres = (np.arange(count) + 0.5) * hop_seconds
        for start, end in segments:
            features[(centres >= start) & (centres < end)] += direction
        values[row, :count], valid[row, :count] = torch.from_numpy(features), True
    return values, valid


def batch(*, silent: Sequence[int] = (), blind: Sequence[int] = (), rows: Sequence[int] = range(4)) -> Batch:
    """The clips of `rows`, the same numbers whichever are asked for; without sound in `silent`, picture in `blind`."""
    whole = Batch(
        stream(Modality.AUDIO, SECONDS, TRUTH[Modality.AUDIO], silent),
        stream(Modality.VISUAL, SECONDS, TRUTH[Modality.VISUAL], blind),
        torch.tensor(SECONDS),
        tuple(f"clip {row}" for row in range(4)),
    )
    index = torch.tensor(list(rows))
    return replace(
        whole,
        audio=_rows(whole.audio, index),
        visual=_rows(whole.visual, index),
        duration_seconds=whole.duration_seconds[index],
        video_ids=tuple(whole.video_ids[row] for row in rows),
    )


def _rows(given: StreamBatch, index: torch.Tensor) -> StreamBatch:
    """Those clips, padded to the longest of them."""

    def cut(values: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        num_cells = max(1, int(valid[index].sum(dim=1).max()))
        return values[index, :num_cells], valid[index, :num_cells]

    values, valid = cut(given.values, given.valid)
    truth = tuple(given.truth[row] for row in index.tolist())
    if given.fine_values is None or given.fine_valid is None:
        return replace(given, values=values, valid=valid, truth=truth)
    fine_values, fine_valid = cut(given.fine_values, given.fine_valid)
    return replace(given, values=values, valid=valid, truth=truth, fine_values=fine_values, fine_valid=fine_valid)


def padded(given: StreamBatch, before: int, after: int) -> StreamBatch:
    """The same clips, later in a longer padding that is filled with what must not be read."""

    def widened(values: torch.Tensor, valid: torch.Tensor, scale: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows, cells, dim = values.shape
        wide = torch.full((rows, cells + scale * (before + after), dim), 77.0)
        seen = torch.zeros(wide.shape[:2], dtype=torch.bool)
        place = slice(scale * before, scale * before + cells)
        wide[:, place] = torch.where(valid[..., None], values, 77.0)
        seen[:, place] = valid
        return wide, seen

    values, valid = widened(given.values, given.valid, 1)
    if given.fine_values is None or given.fine_valid is None:
        return replace(given, values=values, valid=valid)
    fine_values, fine_valid = widened(given.fine_values, given.fine_valid, 4)
    return replace(given, values=values, valid=valid, fine_values=fine_values, fine_valid=fine_valid)


def proposals(system: System[Any], given: Batch) -> list[ClipProposals]:
    with torch.no_grad():
        return system.propose(system(given), given)


def assert_same(found: ClipProposals, expected: ClipProposals) -> None:
    """The same proposals; those whose scores differ by rounding alone may have changed places."""
    for list_name in ("audio", "visual", "fused"):
        ours, theirs = getattr(found, list_name), getattr(expected, list_name)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=5e-4)
        if len(ours):
            apart = np.abs(ours[:, None] - theirs).max(axis=-1)
            assert apart.min(axis=0).max() < 5e-4, f"{list_name}: a proposal is missing"
            assert apart.min(axis=1).max() < 5e-4, f"{list_name}: a proposal is new"
    assert found.clip_score == pytest.approx(expected.clip_score, abs=2e-4)


def assert_well_formed(clip: ClipProposals) -> None:
    """Sorted, inside the clip, start before end, scores in [0, 1], evidence as JSON."""
    for part in (clip.audio, clip.visual, clip.fused):
        assert part.dtype == np.float32
        assert part.shape[1:] == (3,)
        assert (part[:, 0] >= 0.0).all()
        assert (part[:, 1] <= clip.duration_seconds + 1e-5).all()
        assert (part[:, 1] > part[:, 0]).all()
        assert ((part[:, 2] >= 0.0) & (part[:, 2] <= 1.0)).all()
        assert (np.diff(part[:, 2]) <= 0.0).all()
    assert 0.0 <= clip.clip_score <= 1.0
    json.dumps(clip.evidence, allow_nan=False)


def test_presets_and_schedules_are_readable(name: str) -> None:
    kind = system_type(name)
    assert {"paper", "compact"} <= set(kind.presets)
    for preset in kind.presets.values():
        assert parse(kind.config_type, json.loads(json.dumps(plain(preset())))) == preset()
    for size in ("paper", "compact"):
        assert training_recipe(size, name).epochs >= 1
    for schedule in kind.schedules:
        assert training_recipe("compact", name, schedule).epochs >= 1


def test_proposals_are_sorted_and_inside_the_clip(name: str) -> None:
    given = batch()
    found = proposals(made(name), given)
    assert [clip.video_id for clip in found] == list(given.video_ids)
    assert any(len(clip.fused) for clip in found)
    for clip in found:
        assert_well_formed(clip)


def test_batch_mates_change_nothing(name: str) -> None:
    system, together = made(name), batch()
    for row, clip in enumerate(proposals(system, together)):
        assert_same(proposals(system, batch(rows=[row]))[0], clip)


@pytest.mark.parametrize(("before", "after"), [(0, 9), (3, 2)])
def test_a_clip_may_stand_anywhere_in_its_padding(name: str, before: int, after: int) -> None:
    system, given = made(name), batch()
    moved = replace(given, audio=padded(given.audio, before, after), visual=padded(given.visual, before, after))
    for found, expected in zip(proposals(system, moved), proposals(system, given), strict=True):
        assert_same(found, expected)


def test_a_missing_stream_gives_no_proposals_and_leaves_the_other_alone(name: str) -> None:
    system = made(name)
    silent, blind, empty, _ = proposals(system, batch(silent=(0, 2), blind=(1, 2)))
    for clip in (silent, blind, empty):
        assert_well_formed(clip)
    assert (len(silent.audio), len(blind.visual), len(empty.fused)) == (0, 0, 0)
    assert len(silent.visual) > 0
    assert len(blind.audio) > 0


@pytest.mark.parametrize("missing", ["some", "audio", "visual", "truth"])
def test_losses_are_finite_and_differentiable_whatever_is_missing(name: str, missing: str) -> None:
    everyone = tuple(range(4))
    given = {
        "some": batch(silent=(0,), blind=(1,)),
        "audio": batch(silent=everyone),
        "visual": batch(blind=everyone),
        "truth": batch(rows=[3, 3]),
    }[missing]
    system = made(name, scrambled=False).train()
    losses = system.losses(system(given, torch.Generator().manual_seed(0)), given)
    assert all(value.shape == () and bool(torch.isfinite(value)) for value in losses.values())
    system.backward(losses)
    gradients = [parameter.grad for parameter in system.parameters() if parameter.grad is not None]
    assert gradients
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)


def test_every_parameter_learns(name: str) -> None:
    """A parameter that no loss reaches is dead weight."""
    system, given = made(name).train(), batch()
    system.backward(system.losses(system(given, torch.Generator().manual_seed(0)), given))
    still = [key for key, parameter in system.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not still


def test_training_is_a_function_of_the_generator(name: str) -> None:
    """Whatever the global generator does, the same generator gives the same losses, and evaluation draws nothing."""
    given, totals, quiet = batch(), [], []
    for other_seed in (1, 2):
        system = made(name).train()
        torch.manual_seed(other_seed)
        totals.append(system.losses(system(given, torch.Generator().manual_seed(5)), given)["total"].item())
        system.eval()
        quiet.append(proposals(system, given)[0])
    assert totals[0] == totals[1]
    assert_same(*quiet)


def test_normalisation_takes_out_scale_and_offset(name: str) -> None:
    given = batch()

    def moved(part: StreamBatch) -> StreamBatch:
        fine = None if part.fine_values is None else part.fine_values * 0.2 - 3.0
        return replace(part, values=part.values * 7.0 + 5.0, fine_values=fine)

    other = replace(given, audio=moved(given.audio), visual=moved(given.visual))
    results = []
    for one in (given, other):
        system = made(name)
        system.fit_normalisation([one])
        results.append(proposals(system, one))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected)


def test_features_of_another_width_are_refused(name: str) -> None:
    given = batch()
    narrow = replace(given, audio=replace(given.audio, values=given.audio.values[..., :-1]))
    with pytest.raises(ValueError, match="extract"):
        made(name)(narrow)


def test_a_saved_model_proposes_the_same(name: str, tmp_path: Path) -> None:
    system, given = made(name), batch()
    system.fit_normalisation([given])
    audio, visual = encoder_specs("handcrafted")
    card = ModelCard(
        system=name,
        system_config=plain(system.config),
        streams=SPECS,
        audio_encoder=audio,
        visual_encoder=visual,
        window_seconds=20.48,
    )
    loaded = load_model(save_model(tmp_path / "model", system.state_dict(), card))
    for found, expected in zip(proposals(loaded.system, given), proposals(system, given), strict=True):
        assert_same(found, expected)


def test_one_batch_is_learned_by_heart(name: str) -> None:
    """The total falls, each truth is among the first proposals, and the clip score tells forged from genuine."""
    given, system = batch(), made(name, scrambled=False).train()
    system.fit_normalisation([given])
    num_steps = 50
    optimizer = torch.optim.AdamW(system.parameters(), lr=7e-3, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 7e-3, total_steps=num_steps, pct_start=0.2)
    totals = []
    for _ in range(num_steps):
        losses = system.losses(system(given), given)
        optimizer.zero_grad()
        system.backward(losses)
        torch.nn.utils.clip_grad_norm_(system.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        totals.append(losses["total"].item())
    assert np.mean(totals[-5:]) < 0.5 * np.mean(totals[:5])
    clips = proposals(system.eval(), given)
    assert lowest_tiou(clips, given) > 0.8
    *forged, genuine = (clip.clip_score for clip in clips)
    assert min(forged) > genuine


def lowest_tiou(clips: Sequence[ClipProposals], given: Batch) -> float:
    """Over all truths, the tiou of the best of as many top proposals as the clip has truths in the stream."""
    found = []
    for row, clip in enumerate(clips):
        for modality in STREAMS:
            truth = given.stream(modality).truth[row]
            if len(truth):
                top = torch.from_numpy(clip.of(modality)[: len(truth), :2]) / clip.duration_seconds
                found.append(pairwise_tiou(top, truth).amax(dim=0).min().item())
    assert len(found) == 4, [stream_name(modality) for modality in STREAMS]
    return min(found)
