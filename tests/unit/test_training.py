"""The loop, its checkpoints and its model folders, on a system small enough to train in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iamsb_core.data.batch import Batch
from iamsb_core.data.dataset import ClipDataset
from iamsb_core.data.source import StoredTrack
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, Streams, StreamSpec
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.media.clip import FrameView
from iamsb_core.systems.base import System, register
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from iamsb_core.training.checkpoint import checkpoints
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.loop import SELECTION, EpochReport, StepReport, Trainer
from iamsb_core.training.model_folder import ModelCard, load_model, save_model
from iamsb_core.training.optimizer import AveragedWeights, learning_rate
from iamsb_core.training.predict import predict
from iamsb_core.training.seeding import seeded

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=3, hop_seconds=0.02),
    visual=StreamSpec(encoder_identity="v", dim=3, hop_seconds=0.04),
)


@dataclass(frozen=True, kw_only=True)
class MeanConfig:
    dropout: float = 0.2


@register
class MeanSystem(System[Tensor]):
    """Says how far the clip's mean feature is along one direction; drops out, so that randomness matters."""

    name: ClassVar[str] = "test-mean"
    config_type: ClassVar[type] = MeanConfig

    def __init__(self, config: MeanConfig, streams: Streams) -> None:
        super().__init__(config, streams)
        self.register_buffer("centre", torch.zeros(streams.audio.dim))
        self.drop = nn.Dropout(config.dropout)
        self.head = nn.Linear(streams.audio.dim, 1)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        noise = 0.0 if generator is None else 0.1 * torch.randn(len(batch), 1, generator=generator)
        return self.head(self.drop(batch.audio.values.mean(dim=1) - self.centre)) + noise

    def losses(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"total": (outputs - batch.duration_seconds[:, None]).square().mean()}

    def propose(self, outputs: Tensor, batch: Batch) -> list[ClipProposals]:
        found = []
        for row, video_id in enumerate(batch.video_ids):
            duration = float(batch.duration_seconds[row])
            whole = np.array([[0.0, duration, float(outputs[row].sigmoid())]], dtype=np.float32)
            found.append(ClipProposals(video_id, duration, whole, whole, whole, float(whole[0, 2])))
        return found

    def fit_normalisation(self, batches: Iterable[Batch]) -> None:
        self.centre.copy_(torch.cat([b.audio.values.mean(dim=1) for b in batches]).mean(dim=0))


class Noise:
    streams = STREAMS

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack:
        rng = np.random.default_rng([int(video.video_id), modality.value])
        grid = TimeGrid.covering(video.duration_seconds or 0.0, STREAMS.of(modality).hop_seconds)
        track = FeatureTrack(rng.standard_normal((grid.num_cells, 3)).astype(np.float32), grid)
        return StoredTrack(EncodedTrack(track if window is None else track.window(window)), grid.duration_seconds)


def videos(num: int) -> list[VideoRecord]:
    return [
        VideoRecord(video_id=str(n), path=Path(str(n)), split="train", duration_seconds=1.0 + n % 3) for n in range(num)
    ]


CONFIG = TrainConfig(epochs=3, batch_size=4, learning_rate=0.01, window_seconds=1.5, checkpoint_every_steps=2)


class Run:
    """One training run in a folder; `kept` are the weights it would register."""

    def __init__(self, folder: Path, config: TrainConfig = CONFIG, run_digest: str = "d") -> None:
        self.kept: dict[str, Tensor] = {}
        with seeded(config.seed, 0):
            system = MeanSystem(MeanConfig(), STREAMS)
        self.trainer = Trainer(
            system,
            ClipDataset(Noise(), videos(18), window_seconds=config.window_seconds),
            config,
            folder,
            run_digest=run_digest,
            validate=lambda system: {SELECTION: -float(system.head.bias.detach().abs())},
            keep=lambda weights, metrics: self.kept.update({n: w.clone() for n, w in weights.items()}),
        )


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_reports_count_every_step_and_epoch(tmp_path: Path) -> None:
    reports = list(Run(tmp_path).trainer.run())
    steps = [report for report in reports if isinstance(report, StepReport)]
    epochs = [report for report in reports if isinstance(report, EpochReport)]
    assert [report.step for report in steps] == list(range(1, 16))  # 18 clips in 4s: 5 batches (the last has 2) x 3
    assert [report.epoch for report in epochs] == [0, 1, 2]
    assert all(np.isfinite(report.losses["total"]) for report in steps)


@pytest.mark.parametrize("num_steps", [1, 2, 5, 8, 13])
def test_a_run_cut_off_anywhere_ends_as_an_undisturbed_one(tmp_path: Path, num_steps: int) -> None:
    whole = Run(tmp_path / "whole")
    list(whole.trainer.run())
    cut = Run(tmp_path / "cut").trainer.run()
    for report in cut:
        if isinstance(report, StepReport) and report.step == num_steps:
            break
    cut.close()
    resumed = Run(tmp_path / "cut")
    list(resumed.trainer.run())
    assert same(resumed.trainer.system.state_dict(), whole.trainer.system.state_dict())
    assert same(resumed.kept, whole.kept) or not resumed.kept


def test_a_finished_run_only_reports_again(tmp_path: Path) -> None:
    epochs = [report for report in Run(tmp_path).trainer.run() if isinstance(report, EpochReport)]
    again = Run(tmp_path)
    assert list(again.trainer.run()) == epochs
    assert not again.kept


def test_epochs_of_a_run_cut_off_are_reported_as_if_undisturbed(tmp_path: Path) -> None:
    whole = {r.epoch: r for r in Run(tmp_path / "whole").trainer.run() if isinstance(r, EpochReport)}
    cut = Run(tmp_path / "cut").trainer.run()
    while not (isinstance(report := next(cut), StepReport) and report.step == 8):
        pass
    cut.close()
    resumed = {r.epoch: r for r in Run(tmp_path / "cut").trainer.run() if isinstance(r, EpochReport)}
    assert resumed.keys() == whole.keys()
    for epoch, report in whole.items():
        assert (resumed[epoch].losses, resumed[epoch].metrics) == (report.losses, report.metrics)


@pytest.mark.parametrize("file", ["model.safetensors", "card.json"])
def test_a_damaged_model_is_one_clear_message(tmp_path: Path, file: str) -> None:
    folder = save_model(tmp_path / "model", MeanSystem(MeanConfig(), STREAMS).state_dict(), card())
    (folder / file).write_bytes(b"not what it was")
    with pytest.raises(ValueError, match=r"train it again, or name another model"):
        load_model(folder)


def test_a_checkpoint_of_another_configuration_is_refused_and_kept(tmp_path: Path) -> None:
    list(Run(tmp_path).trainer.run())
    before = {place.name: (place / "state.json").read_bytes() for place in checkpoints(tmp_path)}
    with pytest.raises(ValueError, match="another configuration"):
        list(Run(tmp_path, run_digest="other").trainer.run())
    assert {place.name: (place / "state.json").read_bytes() for place in checkpoints(tmp_path)} == before
    assert len(before) == 2


def test_another_seed_gives_another_result(tmp_path: Path) -> None:
    first, second = Run(tmp_path / "a"), Run(tmp_path / "b", TrainConfig(**{**CONFIG.__dict__, "seed": 1}))
    list(first.trainer.run())
    list(second.trainer.run())
    assert not same(first.kept, second.kept)


def test_seeding_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(1, 2):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(1, 2):
        assert torch.equal(torch.rand(2), inside)


#  100 steps, warm-up 5: 1/5 of the peak at step 0, the peak at step 4, half way down at the middle of the rest
def test_learning_rate_by_hand() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_share=0.05, final_learning_rate_share=0.0)
    assert learning_rate(0, 100, config) == pytest.approx(0.2)
    assert learning_rate(4, 100, config) == pytest.approx(1.0)
    assert learning_rate(5 + 95 / 2, 100, config) == pytest.approx(0.5)  # type: ignore[arg-type]
    assert learning_rate(100, 100, config) == pytest.approx(0.0)


def test_averaged_weights_by_hand() -> None:
    system = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(system.weight)
    average = AveragedWeights(system, decay=0.5)
    nn.init.ones_(system.weight)
    average.update(system, 0)  # decay (1 + 0) / (10 + 0) = 0.1: 0.1 * 0 + 0.9 * 1
    assert average.values["weight"].item() == pytest.approx(0.9)
    average.update(system, 1000)  # decay 0.5: (0.9 + 1) / 2
    assert average.values["weight"].item() == pytest.approx(0.95)


def card(**changes: Any) -> ModelCard:
    fields = {
        "system": "test-mean",
        "system_config": {"dropout": 0.1},
        "streams": STREAMS,
        "audio_encoder": EncoderSpec(name="handcrafted-audio"),
        "visual_encoder": EncoderSpec(name="handcrafted-video", view=FrameView()),
        "window_seconds": 1.5,
    }
    return ModelCard(**(fields | changes))


def test_a_model_folder_gives_back_the_system(tmp_path: Path) -> None:
    system = MeanSystem(MeanConfig(dropout=0.1), STREAMS)
    save_model(tmp_path / "model", system.state_dict(), card())
    loaded = load_model(tmp_path / "model")
    assert loaded.card == card()
    assert same(loaded.system.state_dict(), system.state_dict())
    found = predict(loaded.system, Noise(), videos(3), window_seconds=1.5)
    assert sorted(found) == ["0", "1", "2"]
    assert found["2"].duration_seconds == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "test-maen"}, "did you mean 'test-mean'"),
        ({"system_config": {"droput": 0.1}}, "no key 'droput'; did you mean 'dropout'"),
        ({"format": "iamsb-model-v0"}, "this version reads"),
        ({"colour": "red"}, "model card has no key 'colour'"),
    ],
)
def test_a_wrong_card_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = save_model(tmp_path / "model", MeanSystem(MeanConfig(), STREAMS).state_dict(), card())
    data = json.loads((folder / "card.json").read_text()) | change
    (folder / "card.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        load_model(folder)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    weights = MeanSystem(MeanConfig(), STREAMS).state_dict() | {"head.weight": torch.zeros(1, 9)}
    with pytest.raises(ValueError, match="do not fit the configuration"):
        load_model(save_model(tmp_path / "model", weights, card()))


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks model.safetensors and card.json"):
        load_model(tmp_path)
