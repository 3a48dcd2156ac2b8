"""SIGKILL at any moment, the same command again: the same features and the same model as an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from flows.train import TrainFlowConfig
from iamsb_core.datasets.lavdf import read_lavdf
from iamsb_core.digest import digest, file_sha256, plain
from iamsb_core.encoders.load import encoder_specs, resolve_spec
from iamsb_core.forgery.config import ForgeConfig, SyntheticConfig
from iamsb_core.forgery.forge import forge
from iamsb_core.systems.iamsb.config import CoarseConfig, NeckConfig, compact
from iamsb_core.training.config import TrainConfig
from storage.feature_store import FeatureStore

pytestmark = pytest.mark.xdist_group("kill")

TIMEOUT_SECONDS = 240


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny forged dataset and a tiny training configuration."""
    folder = tmp_path_factory.mktemp("kill")
    forgery = ForgeConfig(
        num_clips=(5, 2, 1),
        people_shares=(1.0, 1.0, 1.0),
        clip_seconds=(2.4, 2.6),
        segment_seconds=(0.2, 1.0),
        synthetic=SyntheticConfig(num_people=3, seconds_per_person=4.0),
    )
    forge(None, folder / "data", forgery, num_workers=1)
    neck, coarse = NeckConfig(num_blocks=1, expansion=1, edge_dim=8), CoarseConfig(num_queries=12, hidden_multiple=1)
    training = TrainConfig(epochs=4, batch_size=2, checkpoint_every_steps=1)
    config = TrainFlowConfig(
        system_config=plain(replace(compact(), dim=32, neck=neck, coarse=coarse)), training=training, device="cpu"
    )
    (folder / "config.json").write_text(json.dumps(plain(config)))
    return folder


def start(workplace: Path, home: Path) -> subprocess.Popen[bytes]:
    """`iamsb train`, which extracts first, in a home of its own."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "IAMSB_"))}
    command = ["-m", "flows.cli", "train", "lavdf", str(workplace / "data"), "--json"]
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".log").open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, *command, "--config", str(workplace / "config.json")],
            env=variables | {"IAMSB_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def finish(process: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
    output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, output.decode() + home.with_suffix(".log").read_text()[-3000:]
    return json.loads(output)


def kill_when(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    """SIGKILL the command, and it alone, as soon as the moment has come."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not moment():
        assert process.poll() is None, "the command ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def num_packs(home: Path) -> int:
    return len(list(home.glob("features/v1/*/*.zarr")))


def num_checkpoints(home: Path) -> int:
    return len(list(home.glob("runs/*/checkpoints/step-*")))


def features_digest(workplace: Path, home: Path) -> str:
    """Of every feature value of every clip in both streams."""
    store = FeatureStore(home / "features")
    assert store.verify().is_sound
    rows = []
    for video in read_lavdf(workplace / "data").videos:
        if video.split != "test":
            for spec in map(resolve_spec, encoder_specs("handcrafted")):
                stored = store.read(spec.identity, file_sha256(workplace / "data" / video.path))
                assert stored is not None
                rows.append([video.video_id, np.asarray(stored.track.main.values, np.float64).tobytes().hex()])
    return digest(rows)


def weights(home: Path) -> str:
    (path,) = home.glob("runs/*/model/model.safetensors")
    return file_sha256(path)


@pytest.fixture(scope="module")
def undisturbed(workplace: Path) -> tuple[dict[str, Any], Path]:
    home = workplace / "undisturbed" / "home"
    return finish(start(workplace, home), home), home


def check_equal(workplace: Path, home: Path, done: dict[str, Any], undisturbed: tuple[dict[str, Any], Path]) -> None:
    expected, other = undisturbed
    assert features_digest(workplace, home) == features_digest(workplace, other)
    assert done["metrics"] == expected["metrics"]
    assert weights(home) == weights(other)


def test_killed_while_extracting_and_while_training(workplace: Path, undisturbed: tuple[dict[str, Any], Path]):
    home = workplace / "killed" / "home"
    kill_when(start(workplace, home), lambda: num_packs(home) >= 2)
    assert num_packs(home) < num_packs(undisturbed[1])
    kill_when(start(workplace, home), lambda: num_checkpoints(home) >= 1)
    done = finish(start(workplace, home), home)
    check_equal(workplace, home, done, undisturbed)
    left = [p for p in psutil.process_iter(["environ"]) if (p.info["environ"] or {}).get("IAMSB_HOME") == str(home)]
    assert not left, "what a killed command leaves behind is ended by the next one"


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "starting": lambda home: (home / "prefect" / "prefect.db").exists(),
    "fingerprinting": lambda home: (home / "media.sqlite").exists(),
    "staging a pack": lambda home: any(home.glob("features/.staging/*")),
    "first pack": lambda home: num_packs(home) >= 1,
    "last pack": lambda home: num_packs(home) >= 10,
    "run made": lambda home: any(home.glob("runs/*/run.json")),
    "second checkpoint": lambda home: num_checkpoints(home) >= 2,
    "model kept": lambda home: any(home.glob("runs/*/model/card.json")),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_killed_at_any_moment(moment: str, workplace: Path, undisturbed: tuple[dict[str, Any], Path]):
    home = workplace / moment.replace(" ", "-") / "home"
    kill_when(start(workplace, home), lambda: MOMENTS[moment](home))
    check_equal(workplace, home, finish(start(workplace, home), home), undisturbed)
