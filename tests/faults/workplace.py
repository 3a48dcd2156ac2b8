"""A tiny dataset, the commands that work on it, and what must be equal at the end: shared by the tests of faults."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from tiny_work import forge_tiny, tiny_training

from iamsb_core.datasets.lavdf import read_lavdf
from iamsb_core.digest import digest, file_sha256, plain
from iamsb_core.encoders.load import encoder_specs, resolve_spec
from iamsb_core.manifest import SPLITS, Split
from storage.feature_store import FeatureStore

PROJECT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 600


def make_dataset(
    folder: Path, num_clips: tuple[int, int, int] = (5, 2, 1), seconds: float = 2.5, epochs: int = 4
) -> Path:
    """Drawn clips, forged, in LAV-DF's layout, and a tiny training configuration beside them."""
    forge_tiny(folder / "data", num_clips, seconds)
    config = replace(tiny_training(epochs=epochs, batch_size=2, checkpoint_every_steps=1), device="cpu")
    (folder / "config.json").write_text(json.dumps(plain(config)))
    return folder


def start(workplace: Path, home: Path, *options: str) -> subprocess.Popen[bytes]:
    """`iamsb train`, which extracts first, in a home of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "IAMSB_", "MLFLOW_T"))}
    words = ["-m", "flows.cli", "train", "lavdf", str(workplace / "data"), "--json", *options]
    words += ["--config", str(workplace / "config.json")]
    home.parent.mkdir(parents=True, exist_ok=True)
    with log_file(home).open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, *words],
            env=kept | {"IAMSB_HOME": str(home), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def log_file(home: Path) -> Path:
    """Where the commands of a home write their messages."""
    return home.with_suffix(".log")


def finish(process: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
    """The document of a command that must succeed."""
    output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0, output.decode() + log_file(home).read_text()[-3000:]
    return json.loads(output)


def wait_for(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    """Until the moment has come, which must be before the command ends."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not moment():
        assert process.poll() is None, "the command ended before the moment came"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_when(process: subprocess.Popen[bytes], moment: Callable[[], bool]) -> None:
    """SIGKILL the command, and it alone, as soon as the moment has come."""
    wait_for(process, moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()


# ---- what is there


def packs(home: Path) -> set[str]:
    return {path.name for path in home.glob("features/v1/*/*.zarr")}


def num_packs(home: Path) -> int:
    return len(packs(home))


def num_checkpoints(home: Path) -> int:
    return len(list(home.glob("runs/*/checkpoints/step-*")))


def features_digest(data: Path, home: Path, splits: tuple[Split, ...] = SPLITS) -> str:
    """Of every feature value of every clip in both streams, in a store that is sound."""
    store = FeatureStore(home / "features")
    assert store.verify().is_sound
    rows = []
    for video in read_lavdf(data).videos:
        if video.split in splits:
            for spec in map(resolve_spec, encoder_specs("handcrafted")):
                stored = store.read(spec.identity, file_sha256(data / video.path))
                assert stored is not None
                rows.append([video.video_id, np.asarray(stored.track.main.values, np.float64).tobytes().hex()])
    return digest(rows)


def trained_on(workplace: Path, home: Path) -> str:
    """The digest of the features that a training reads."""
    return features_digest(workplace / "data", home, ("train", "dev"))


def weights(home: Path) -> str:
    (path,) = home.glob("runs/*/model/model.safetensors")
    return file_sha256(path)


def check_whole(home: Path) -> None:
    """Whatever a reader can see is whole: every pack by its checksums, every checkpoint and model by its format."""
    assert FeatureStore(home / "features").verify().is_sound
    for place in home.glob("runs/*/checkpoints/step-*"):
        json.loads((place / "state.json").read_text())
        with safe_open(place / "state.safetensors", "pt") as tensors:
            assert tensors.keys()
    for model in home.glob("runs/*/model/model.safetensors"):
        with safe_open(model, "pt") as tensors:
            assert tensors.keys()


def check_equal(workplace: Path, home: Path, done: dict[str, Any], undisturbed: tuple[dict[str, Any], Path]) -> None:
    """Features, metrics and weights are those of the undisturbed run."""
    expected, other = undisturbed
    assert trained_on(workplace, home) == trained_on(workplace, other)
    assert done["metrics"] == expected["metrics"]
    assert weights(home) == weights(other)


def flow_states(home: Path) -> Counter[str]:
    """How many flow runs of the home's own Prefect record are in which state."""
    with sqlite3.connect(f"file:{home / 'prefect' / 'prefect.db'}?mode=ro", uri=True) as database:
        return Counter(state for (state,) in database.execute("SELECT state_type FROM flow_run"))


def epoch_metrics(database: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every number that training logged at the end of an epoch, but for times."""
    query = (
        "SELECT key, step, value FROM metrics WHERE (key LIKE 'train!_%' ESCAPE '!' OR key LIKE 'dev!_%' ESCAPE '!') "
        "AND key NOT LIKE '%seconds' ORDER BY key, step"
    )
    found: dict[str, list[tuple[int, float]]] = {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
        for key, step, value in opened.execute(query):
            found.setdefault(key, []).append((step, value))
    return found


# ---- figures


def note(name: str, figures: Mapping[str, Any]) -> None:
    """Keep the figures of a test under build/faults, as docs/faults.md shows them."""
    folder = PROJECT / "build" / "faults"
    folder.mkdir(parents=True, exist_ok=True)
    document = {"date": time.strftime("%Y-%m-%d"), **figures}
    (folder / f"{name}.json").write_text(json.dumps(plain(document), indent=2) + "\n")


def tally(words: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(words).items()))
