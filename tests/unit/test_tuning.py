"""Tuning encoders: the loss and the windows by hand, what learns and what does not, and what is left on the disk."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from flows.commands.experiment import fields_of
from flows.terminal import UsageError
from flows.tune import TuneFlowConfig
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import encoder_specs, load_encoder, pair_name, resolve_spec
from iamsb_core.encoders.tunable import TunableEncoder, as_tensor, load_tunable, save_tuned, unfreeze
from iamsb_core.media.clip import DecodedClip, FrameView, MediaProbe
from iamsb_core.timeline import TimeGrid
from iamsb_core.training.tuning import EncoderTuner, TuneEpoch, TuneStep, Window, cell_loss, draw_window
from iamsb_core.training.tuning_config import TuneConfig

NAMES = ("wavlm", "clip")
PROBE = MediaProbe(
    sha256="0" * 64, size_bytes=0, duration_seconds=0.0, container="mp4", num_video_streams=1, num_audio_streams=1,
    video_codec="h264", width=64, height=64, rotation_degrees=0, num_video_frames=10, average_fps=25.0,
    variable_frame_rate=False, video_start_seconds=0.0, audio_codec="pcm", sample_rate_hz=16_000, num_channels=1,
    audio_start_seconds=0.0,
)  # fmt: skip
QUICK = TuneConfig(
    head_epochs=2, epochs=3, batch_size=4, encoder_learning_rate=3e-3, head_learning_rate=3e-2, num_clips=8
)


def spec_of(name: str, folders: dict[str, Path], layer: int = -1) -> EncoderSpec:
    view = FrameView(size_pixels=32) if name == "clip" else None
    return resolve_spec(EncoderSpec(name=name, weights=str(folders[name]), layer=layer, view=view))  # type: ignore[arg-type]


def clip_of(num_seconds: float, seed: int = 0) -> DecodedClip:
    """Noise in both streams."""
    rng = np.random.default_rng(seed)
    grid, waveform = TimeGrid.covering(num_seconds, 0.04), rng.normal(0.02, 0.1, round(num_seconds * 16_000))
    return DecodedClip(
        probe=PROBE, duration_seconds=num_seconds, waveform=waveform.astype(np.float32),
        frames=rng.integers(0, 256, (grid.num_cells, 32, 32, 3), dtype=np.uint8), frame_boxes=None, face_found=None,
        frame_grid=grid, reader="none",
    )  # fmt: skip


def windows_of(encoder: TunableEncoder, num: int, seed: int) -> list[Window]:
    """Forged cells are louder or brighter, in the middle third of every second window; lengths differ."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(num):
        num_cells = 12 + 3 * (place % 2)
        truth = np.zeros(num_cells, dtype=bool)
        truth[num_cells // 3 : 2 * num_cells // 3] = place % 4 < 2
        if encoder.spec.name == "wavlm":
            inputs = (rng.normal(size=(num_cells, 320)) * np.where(truth, 3.0, 0.3)[:, None]).astype(np.float32)
        else:
            grey = np.where(truth, 200, 90)[:, None, None, None] + rng.normal(0, 20, (num_cells, 32, 32, 3))
            inputs = grey.clip(0, 255).astype(np.uint8)
        found.append(Window(inputs, truth))
    return found


def tuned(spec: EncoderSpec, config: TuneConfig) -> tuple[TunableEncoder, list[TuneEpoch]]:
    encoder = load_tunable(spec)
    tuner = EncoderTuner(encoder, windows_of(encoder, 8, 0), windows_of(encoder, 6, 1), config, "cpu")
    reports = list(tuner.run())
    steps = [one.step for one in reports if isinstance(one, TuneStep)]
    assert steps == list(range(tuner.num_steps))
    return encoder, [one for one in reports if isinstance(one, TuneEpoch)]


#     logit   said            true      loss
#     0       1/2             forged    ln 2
#     ln 3    3/4             genuine   ln 4         mean: 1.5 ln 2
def test_the_loss_of_two_cells_by_hand():
    loss = cell_loss(
        [torch.tensor([[0.0]]), torch.tensor([[math.log(3.0)]])], [torch.tensor([[1]]), torch.tensor([[0]])]
    )
    assert loss.item() == pytest.approx(1.5 * math.log(2.0))


# cells     0 1 2 3 4 5 6 7 8 9     window of 3 cells around the forged cell 8: it begins at 6, or at 7 (also for 8)
#                           f
def test_a_window_holds_the_forged_cell():
    truth, grid = np.array([[8.0, 9.0]]), TimeGrid(1.0, 10)
    drawn = {draw_window(truth, grid, 3, np.random.default_rng(seed)).start for seed in range(40)}
    assert drawn == {6, 7}
    assert draw_window(truth, grid, 10, np.random.default_rng(0)) == slice(0, 10)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 30), st.integers(0, 99), st.booleans())
def test_every_window_lies_inside(num_cells: int, wanted: int, seed: int, is_forged: bool):
    rng = np.random.default_rng(seed)
    place = int(rng.integers(num_cells))
    truth = np.array([[place, place + 1.0]]) if is_forged else np.empty((0, 2))
    found = draw_window(truth, TimeGrid(1.0, num_cells), wanted, rng)
    assert 0 <= found.start < found.stop <= num_cells
    assert found.stop - found.start == min(wanted, num_cells)
    assert not is_forged or found.start <= place < found.stop


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_blocks", [1, None])
def test_the_last_blocks_have_gradients_and_nothing_else(
    name: str, num_blocks: int | None, tiny_encoders: dict[str, Path]
):
    encoder = load_tunable(spec_of(name, tiny_encoders))
    unfreeze(encoder, num_blocks)
    encoder.rows(as_tensor([windows_of(encoder, 1, 0)[0].inputs], "cpu")).square().sum().backward()
    moved = {key for key, weight in encoder.network.named_parameters() if weight.grad is not None}
    blocks = ("encoder.layers.1.",) if num_blocks == 1 else ("encoder.layers.0.", "encoder.layers.1.")
    assert moved == {key for key, _ in encoder.network.named_parameters() if key.startswith(blocks)}


@pytest.mark.parametrize(("name", "layer"), [("wavlm", -1), ("wavlm", 1), ("clip", -1), ("clip", 1)])
def test_a_window_of_a_whole_clip_gives_the_rows_of_an_extraction(
    name: str, layer: int, tiny_encoders: dict[str, Path]
):
    encoder, clip = load_tunable(spec_of(name, tiny_encoders, layer)), clip_of(0.8)
    expected = encoder.encode([clip])[0].main.values
    found = encoder.rows(as_tensor([encoder.inputs(clip)], "cpu"))[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("name", "layer"), [("wavlm", -1), ("clip", -1), ("wavlm", 1)])
def test_what_is_frozen_stays_and_what_learns_is_read_back(
    name: str, layer: int, tiny_encoders: dict[str, Path], tmp_path: Path
):
    spec = spec_of(name, tiny_encoders, layer)
    encoder, epochs = tuned(spec, QUICK)
    assert [one.is_tuning for one in epochs] == [False, False, True, True, True]
    saved = save_tuned(encoder, tmp_path / "tuned")
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_encoders[name], tmp_path / "tuned"))
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    last = "encoder.layers.1." if layer == -1 else "encoder.layers.0."
    assert before.keys() == after.keys()
    assert changed
    assert all(last in key for key in changed)
    assert saved.identity != spec.identity, "its features are other features"
    again = load_encoder(saved)
    assert replace(again.stream, encoder_identity="") == replace(load_encoder(spec).stream, encoder_identity="")
    clip = clip_of(0.8)
    frozen, mine, theirs = (one.encode([clip])[0].main for one in (load_encoder(spec), encoder, again))
    assert theirs.grid == frozen.grid
    np.testing.assert_array_equal(theirs.values, mine.values)
    assert not np.allclose(theirs.values, frozen.values)


def test_the_same_seed_gives_the_same_weights_and_dev_chooses_the_epoch(tiny_encoders: dict[str, Path], tmp_path: Path):
    spec = spec_of("clip", tiny_encoders)
    runs = [tuned(spec, replace(QUICK, blocks=None, seed=seed)) for seed in (3, 3, 4)]
    first, second, other = (
        save_tuned(encoder, tmp_path / str(n)).weights_digest for n, (encoder, _) in enumerate(runs)
    )
    assert first == second != other
    epochs = runs[0][1]
    assert max(one.dev_auc for one in epochs if one.is_tuning) > 0.9, "bright cells are easily told"
    shorter = replace(QUICK, blocks=None, seed=3, head_width=4)
    assert len(tuned(spec, shorter)[1]) == len(epochs)


def test_settings_of_the_command_line():
    assert fields_of("epochs=8, blocks=null,encoder_learning_rate=1e-4") == {
        "epochs": 8, "blocks": None, "encoder_learning_rate": 1e-4,
    }  # fmt: skip
    assert fields_of("") == {}
    for text in ("epochs", "epochs=", "=3", "epochs=many"):
        with pytest.raises(UsageError, match="NAME=NUMBER"):
            fields_of(text)


def test_a_pair_has_the_name_that_it_is_read_by():
    for name in ("wavlm:/a+b@2+clip:x/y@-1+lips,12.5hz", "handcrafted+clip:/c@3,bfloat16", "handcrafted-lips"):
        pair = encoder_specs(name)
        assert encoder_specs(pair_name(*pair)) == pair


def test_what_cannot_be_tuned(tiny_encoders: dict[str, Path]):
    with pytest.raises(ValueError, match=r"'handcrafted' have no weights that could be tuned; .*wavlm:FOLDER"):
        TuneFlowConfig(encoders="handcrafted")
    with pytest.raises(ValueError, match="'handcrafted-audio' has no weights that could be tuned"):
        load_tunable(encoder_specs("handcrafted")[0])
    with pytest.raises(ValueError, match="at layer 0 has no weights"):
        load_tunable(spec_of("wavlm", tiny_encoders, 0))
    encoder = load_tunable(spec_of("clip", tiny_encoders))
    with pytest.raises(ValueError, match="has 1 to 2 blocks to tune, not 3"):
        unfreeze(encoder, 3)
    windows = windows_of(encoder, 4, 0)
    genuine = [Window(one.inputs, np.zeros_like(one.truth)) for one in windows]
    with pytest.raises(ValueError, match="the dev split has only genuine cells in its visual stream"):
        EncoderTuner(encoder, windows, genuine, QUICK, "cpu")
    with pytest.raises(ValueError, match="the train split has no clip in its visual stream"):
        EncoderTuner(encoder, [], windows, QUICK, "cpu")
    with pytest.raises(ValueError, match="blocks must be at least 1"):
        TuneConfig(blocks=0)
    with pytest.raises(ValueError, match="needs epochs of at least 1"):
        TuneConfig(epochs=0)


def test_weights_that_changed_meanwhile_are_not_taken_for_those_that_were_tuned(
    tiny_encoders: dict[str, Path], tmp_path: Path
):
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in tiny_encoders["clip"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    encoder = load_tunable(spec_of("clip", {"clip": folder}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    with pytest.raises(ValueError, match="have changed"):
        save_tuned(encoder, tmp_path / "tuned")
