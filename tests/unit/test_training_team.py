"""Two processes that share every batch train what one process trains on the whole of it: every system, step by step.

The processes run this file as a script; they meet on loopback as torchrun's would.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import iamsb_core.systems  # noqa: F401 - registers them all
from iamsb_core.configuration import parse
from iamsb_core.data.dataset import ClipDataset
from iamsb_core.data.source import StoredTrack
from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack, Streams, StreamSpec
from iamsb_core.manifest import Forgery, Modality, VideoRecord
from iamsb_core.processes import batch_count, batch_draw, batch_most, batch_rows
from iamsb_core.systems.base import create_system, system_names, system_type
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.loop import SELECTION, StepReport, Trainer
from iamsb_core.training.seeding import seeded
from iamsb_core.training.team import ALONE, Team

STREAMS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=12, hop_seconds=0.02, fine_dim=4, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=9, hop_seconds=0.04),
)
SMALLER: Mapping[str, Mapping[str, Any]] = {
    "iamsb": {"dim": 32, "num_heads": 2, "coarse": {"num_queries": 16}},
    "ba-tfd-plus": {"dim": 32},
    "dense-localizer": {"dim": 32, "num_levels": 4},
    "fpn-transformer": {"dim": 32, "num_levels": 4},
    "ummaformer": {"dim": 32, "num_levels": 4},
}
NUM_CLIPS, NUM_STEPS = 15, 6  # twice batches of 6, 6 and 3 clips, so that two processes have 3 and 3, then 2 and 1
CONFIG = TrainConfig(epochs=2, batch_size=6, learning_rate=1e-3, checkpoint_every_steps=1, precision="float32")
TOLERANCE = 2e-4
"""of every loss at every step, and of every weight after the last, relative to 1 or to its size: float32 sums in
another order, through 6 steps of AdamW"""


class Source:
    """Noise; a forged cell is moved, every fifth clip is silent."""

    streams = STREAMS

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        number, stream = int(video.video_id), STREAMS.of(modality)
        if modality is Modality.AUDIO and number % 5 == 4:
            return None
        main = self._track(video, modality, stream.dim, stream.hop_seconds)
        fine = self._track(video, modality, stream.fine_dim, stream.fine_hop_seconds) if stream.fine_dim else None
        track = EncodedTrack(main, fine)
        assert window is None
        return StoredTrack(track, video.duration_seconds or 0.0)

    def _track(self, video: VideoRecord, modality: Modality, dim: int, hop_seconds: float) -> FeatureTrack:
        rng = np.random.default_rng([int(video.video_id), modality.value, dim])
        grid = TimeGrid.covering(video.duration_seconds or 0.0, hop_seconds)
        values = rng.standard_normal((grid.num_cells, dim)).astype(np.float32)
        for start, end in video.truth(modality):
            values[grid.cells(Segment(start, end))] += 2.0
        return FeatureTrack(values, grid)


def clip(number: int) -> VideoRecord:
    """Genuine, forged in the sound, in the picture, in both, in turn."""
    streams = Modality(number % 4)
    forgeries = (Forgery(Segment(0.4, 0.8 + 0.04 * number), streams),) if streams else ()
    name = str(number)
    seconds = 1.6 + 0.2 * (number % 6)
    return VideoRecord(video_id=name, path=Path(name), split="train", duration_seconds=seconds, forgeries=forgeries)


@dataclass
class Run:
    """What a training leaves."""

    losses: list[dict[str, float]]
    weights: dict[str, Tensor]


def changed(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return base | {k: changed(base[k], v) if isinstance(v, Mapping) else v for k, v in changes.items()}


def trainer(name: str, folder: Path, team: Team = ALONE, num_clips: int = NUM_CLIPS) -> Trainer:
    kind = system_type(name)
    config = parse(kind.config_type, changed(plain(kind.presets["compact"]()), SMALLER.get(name, {})))
    with seeded(team.rank, 1):  # another start in each process: the first one's counts
        system = create_system(name, STREAMS, config)
        with torch.no_grad():  # off their initial zeros: AdamW makes whole steps of gradients that are rounding
            for weight in system.parameters():
                weight.add_(0.05 * torch.randn_like(weight))
    return Trainer(
        system,
        ClipDataset(Source(), [clip(number) for number in range(num_clips)], window_seconds=8.0),
        CONFIG,
        folder,
        run_digest=name,
        validate=lambda system: {SELECTION: 0.0},
        keep=lambda weights, metrics: None,
        team=team,
    )


def train(name: str, folder: Path, team: Team = ALONE, num_steps: int = NUM_STEPS) -> Run:
    """To the end, or until so many steps are done in all."""
    made, losses = trainer(name, folder, team), []
    reports = made.run()
    for report in reports:
        if isinstance(report, StepReport):
            losses.append(dict(report.losses))
            if report.step == num_steps and num_steps < NUM_STEPS:
                break
    reports.close()
    return Run(losses, made.system.state_dict())


# ---- the processes


def member(folder: Path, num_steps: int, names: list[str]) -> None:
    """Train system after system in one of the processes; the first writes what came of it."""
    team = Team.join()
    for name in names:
        run = train(name, folder / name, team, num_steps)
        if team.is_first:
            save_file({key: value.contiguous() for key, value in run.weights.items()}, folder / f"{name}.safetensors")
            (folder / f"{name}.json").write_text(json.dumps(run.losses))


def together(folder: Path, names: list[str], num_steps: int = NUM_STEPS) -> dict[str, Run]:
    """Two processes train the systems."""
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(folder), str(num_steps), *names]
    processes = [
        subprocess.Popen(command, env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    try:
        assert [process.wait(900) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return {
        name: Run(json.loads((folder / f"{name}.json").read_text()), load_file(folder / f"{name}.safetensors"))
        for name in names
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """IaMSB, trained by two processes."""
    return together(tmp_path_factory.mktemp("team") / "shared", ["iamsb"])["iamsb"]


def check_same(found: Run, wanted: Run) -> None:
    assert len(found.losses) == len(wanted.losses)
    for step, (mine, theirs) in enumerate(zip(found.losses, wanted.losses, strict=True), 1):
        assert mine == pytest.approx(theirs, rel=TOLERANCE, abs=TOLERANCE), f"step {step}"
    assert found.weights.keys() == wanted.weights.keys()
    torch.testing.assert_close(found.weights, dict(wanted.weights), rtol=TOLERANCE, atol=TOLERANCE)


def check_learned(run: Run) -> None:
    totals = [losses["total"] for losses in run.losses]
    assert len(totals) == NUM_STEPS
    assert min(totals) < 0.99 * totals[0]


def test_two_processes_train_what_one_does(whole: Run, tmp_path: Path) -> None:
    alone = train("iamsb", tmp_path)
    check_same(whole, alone)
    check_learned(alone)


@pytest.mark.slow
def test_every_system_can_be_shared(tmp_path: Path) -> None:
    names = [name for name in system_names() if name != "iamsb"]
    found = together(tmp_path / "shared", names)
    for name in names:
        alone = train(name, tmp_path / "alone" / name)
        check_same(found[name], alone)
        check_learned(alone)


@pytest.mark.slow
def test_a_run_cut_off_goes_on_with_any_number_of_processes(whole: Run, tmp_path: Path) -> None:
    together(tmp_path / "cut", ["iamsb"], num_steps=3)
    shutil.copytree(tmp_path / "cut", tmp_path / "fewer")
    again = together(tmp_path / "cut", ["iamsb"])["iamsb"]
    assert again.losses == whole.losses[3:], "bit by bit, with the same number"
    assert all(torch.equal(again.weights[name], value) for name, value in whole.weights.items())
    check_same(train("iamsb", tmp_path / "fewer" / "iamsb"), Run(whole.losses[3:], whole.weights))


def test_a_batch_that_is_too_small_to_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="7 processes cannot share a batch of 3 clips"):
        trainer("iamsb", tmp_path, Team(0, 7))


def test_alone_nothing_reaches_further() -> None:
    count = torch.tensor(0)
    assert batch_count(count) == 1
    assert batch_count(torch.tensor(5)) == 5
    assert batch_most(3) == 3
    assert batch_draw(torch.zeros, (2, 3)).shape == (2, 3)
    values = torch.ones(2, 3)
    assert batch_rows(values) is values


if __name__ == "__main__":
    member(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
