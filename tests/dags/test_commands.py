"""The commands a user types, through `main`: exit codes, the JSON they print, what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL
from tiny_work import tiny_training

from flows.cli import main
from iamsb_core.digest import plain

pytestmark = pytest.mark.usefixtures("prefect_server")


class Shell:
    """`iamsb ... --json`, in this process, with a home that lasts for the module."""

    def __init__(self, home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capfd = capfd
        monkeypatch.setenv("IAMSB_HOME", str(home))
        monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())  # the tests' own server

    def __call__(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        self._capfd.readouterr()
        assert main([*map(str, arguments), "--json"]) == code
        out, err = self._capfd.readouterr()
        assert "Traceback" not in err
        document = json.loads(out)
        assert bool(document.get("failed")) == bool(code)
        assert document.get("error", "") in err.replace("\n", " ")
        return document


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("commands") / "home"


@pytest.fixture
def iamsb(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(home, capfd, monkeypatch)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.json"
    path.write_text(json.dumps(plain(tiny_training(epochs=3))))
    return path


def test_a_dataset_from_check_to_report(iamsb: Shell, tiny_dataset: Path, config: Path, tmp_path: Path):
    assert iamsb("dataset", "check", "lavdf", tiny_dataset)["num_videos"] == 12
    assert iamsb("extract", "lavdf", tiny_dataset)["num_bad"] == 0

    exported = iamsb("features", "export", "lavdf", tiny_dataset, tmp_path / "npy")
    arrays = sorted((tmp_path / "npy").rglob("*.npy"))
    assert exported["num_files"] == len(arrays) > 0
    clock = json.loads(arrays[0].with_suffix(".json").read_text())
    assert np.load(arrays[0]).shape == (clock["num_cells"], clock["dim"])

    trained = iamsb("train", "lavdf", tiny_dataset, "--config", config, "--epochs", 1)
    assert {"run_id", "model"} <= set(trained)
    assert trained["epochs"] == 1

    scored = iamsb("evaluate", "lavdf", tiny_dataset, "--model", trained["model"])
    for metrics in (scored, *scored["streams"].values()):
        assert {"0.5", "0.75", "0.9", "0.95"} == set(metrics["ap"])
        assert {"100", "50", "30", "20", "10", "5"} == set(metrics["ar"])
        assert "auc" in metrics
    again = iamsb("score", tiny_dataset / "metadata.min.json", scored["predictions"], "--protocol", "lavdf")
    assert again["ap"] == scored["ap"]
    assert again["streams"] == scored["streams"]

    hidden = tmp_path / "hidden"  # a test set whose labels are with its organisers
    shutil.copytree(tiny_dataset / "test", hidden / "test")
    names = sorted(path.name for path in (hidden / "test").iterdir())
    (hidden / "test_files.txt").write_text("\n".join(names))
    options = ("--model", trained["model"], "--out", tmp_path / "sent")
    sent = iamsb("submission", "write", "1m-deepfakes", "av-deepfake1m", hidden, *options)
    assert [(check["num_clips"], check["passed"]) for check in sent["checks"]] == [(len(names), True)] * 2
    assert set(json.loads((tmp_path / "sent" / "prediction.json").read_text())) == set(names)

    video = min((tiny_dataset / "test").glob("*.mp4"))
    (found,) = iamsb("localize", video, "--out", tmp_path / "report")["videos"]
    assert found["state"] == "done"
    assert all((tmp_path / "report" / name).is_file() for name in ("report.json", "report.html", "report.vtt"))


def test_the_store_is_verified_and_repaired(iamsb: Shell, tiny_dataset: Path, home: Path):
    iamsb("extract", "lavdf", tiny_dataset)
    assert iamsb("features", "verify")["damaged"] == []
    pack = min(home.glob("features/v1/*/*.zarr"))
    file = max((path for path in pack.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    (damaged,) = iamsb("features", "verify", code=1)["damaged"]
    assert damaged["folder"] == str(pack)
    assert len(iamsb("features", "repair")["dropped"]) == 1
    assert iamsb("extract", "lavdf", tiny_dataset)["num_decoded"] == 2
    assert iamsb("features", "verify")["damaged"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extract", "lavdf", "{tmp}/nowhere"), "does not exist"),
        (("extract", "lavdv", "{data}"), "did you mean 'lavdf'"),
        (("extract", "lavdf", "{tmp}"), "metadata.min.json"),
        (("extract", "lavdf", "{data}", "--encoders", "wavlm:/nowhere+handcrafted"), "/nowhere"),
        (("extract", "lavdf", "{data}", "--device", "tpu"), "tpu"),
        (("train", "lavdf", "{data}", "--system", "iambs"), "did you mean 'iamsb'"),
        (("train", "lavdf", "{data}", "--config", "{tmp}/bad.json"), "did you mean 'training'"),
        (("evaluate", "lavdf", "{data}", "--model", "{tmp}"), "`iamsb train` prints one"),
        (("evaluate", "lavdf", "{data}", "--protocol", "lavdv"), "did you mean 'lavdf'"),
        (("localize", "{tmp}/nowhere.mp4"), "no file"),
        (("score", "{tmp}/nowhere.json", "{tmp}/bad.json", "--protocol", "lavdf"), "nowhere.json"),
        (("forge", "{tmp}/nowhere", "{tmp}/out"), "is not a folder"),
        (("features", "export", "lavdf", "{data}", "{tmp}/out", "--encoders", "nothing"), "no encoders 'nothing'"),
        (("demo", "--media", "{tmp}/nowhere"), "is not a folder"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_1(
    arguments: tuple[str, ...], message: str, iamsb: Shell, tiny_dataset: Path, tmp_path: Path
):
    (tmp_path / "bad.json").write_text('{"trainig": {}}')
    shown = [argument.format(tmp=tmp_path, data=tiny_dataset) for argument in arguments]
    assert message in iamsb(*shown, code=1)["error"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.json"], "nothing was written"


def test_an_unknown_split_is_wrong_usage(iamsb: Shell, tiny_dataset: Path):
    assert "there are train, dev, test" in iamsb("evaluate", "lavdf", tiny_dataset, "--split", "tset", code=2)["error"]


def test_a_segment_outside_its_clip_is_told_before_training(
    iamsb: Shell, tiny_dataset: Path, config: Path, tmp_path: Path
):
    root = tmp_path / "wrong"
    shutil.copytree(tiny_dataset, root)
    (root / "metadata.streams.json").unlink(missing_ok=True)
    entries = json.loads((root / "metadata.min.json").read_text())
    forged = next(entry for entry in entries if entry["fake_periods"] and entry["split"] == "train")
    forged["fake_periods"] = [[1.0, 99.0]]
    forged["n_fakes"] = 1
    (root / "metadata.min.json").write_text(json.dumps(entries))
    assert iamsb("dataset", "check", "lavdf", root, code=1)["failed"]
    assert "outside the clip" in iamsb("train", "lavdf", root, "--config", config, code=1)["error"]


@pytest.mark.slow
def test_dask_spreads_the_shards(iamsb: Shell, tiny_dataset: Path, home: Path):
    from dask.distributed import LocalCluster  # noqa: PLC0415 - a second to import

    shutil.rmtree(home / "features", ignore_errors=True)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        options = ("--dask-address", cluster.scheduler_address)
        assert iamsb("extract", "lavdf", tiny_dataset, *options)["num_decoded"] == 12
        assert iamsb("extract", "lavdf", tiny_dataset, *options)["num_cached_shards"] == 6
