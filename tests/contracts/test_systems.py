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
from batches import chosen, forged_batch, padded
from learning import learn, lowest_tiou

import iamsb_core.systems  # noqa: F401 - registers them all
from iamsb_core.configuration import parse
from iamsb_core.data.batch import Batch, StreamBatch
from iamsb_core.digest import plain
from iamsb_core.encoders.base import Streams, StreamSpec
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality
from iamsb_core.systems.base import System, create_system, system_names, system_type
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


def batch(*, silent: Sequence[int] = (), blind: Sequence[int] = (), rows: Sequence[int] = range(4)) -> Batch:
    """The clips of `rows`, the same numbers whichever are asked for; without sound in `silent`, picture in `blind`."""
    return chosen(forged_batch(SPECS, SECONDS, TRUTH, strength=2.0, silent=silent, blind=blind), rows)


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
    for found, expected in zip(proposals(system, padded(given, before, after)), proposals(system, given), strict=True):
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
    totals = learn(system, given, num_steps=50, learning_rate=7e-3)
    assert np.mean(totals[-5:]) < 0.5 * np.mean(totals[:5])
    clips = proposals(system.eval(), given)
    assert lowest_tiou(clips, given) > 0.8
    *forged, genuine = (clip.clip_score for clip in clips)
    assert min(forged) > genuine
