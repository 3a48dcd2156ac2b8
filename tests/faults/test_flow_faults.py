"""Faults around a flow, injected for real: disks, servers, hangs, and the same run twice at once.

Each ends like a run that nothing disturbed, or says in words what is wrong and goes on where it stopped once that is
mended; Prefect's state of every run says what became of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from loopback import answers, free_port
from workers import PrefectServer, decoders, worker
from workplace import (
    TIMEOUT_SECONDS,
    check_equal,
    check_whole,
    epoch_metrics,
    make_dataset,
    note,
    num_checkpoints,
    num_packs,
    packs,
    trained_on,
    wait_for,
)

from storage.feature_store import FeatureStore

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kill-rounds")]

OUTAGE_SECONDS = 60.0
only_root_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("flow-faults"), num_clips=(3, 1, 1), seconds=1.2, epochs=6)


@pytest.fixture(scope="module")
def undisturbed(workplace: Path, server: PrefectServer) -> tuple[dict[str, Any], Path]:
    home = workplace / "undisturbed"
    assert ends("train", home, workplace, server)
    return json.loads((home / "train.json").read_text()), home


@pytest.fixture
def fresh(workplace: Path, undisturbed: tuple[dict[str, Any], Path], request: pytest.FixtureRequest) -> Path:
    """A home with an empty MLflow database, which takes seconds to make."""
    home = workplace / request.node.name
    home.mkdir()
    return home


def ends(kind: str, home: Path, workplace: Path, server: PrefectServer, **variables: str) -> bool:
    """The work to its end; whether it succeeded."""
    return joined(worker(kind, home, workplace, server.url, variables))


def joined(process: Any) -> bool:
    process.join(TIMEOUT_SECONDS)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode == 0


def said(home: Path, kind: str) -> str:
    return (home / "logs" / f"{kind}.log").read_text()


def result(home: Path, kind: str = "train") -> dict[str, Any]:
    return json.loads((home / f"{kind}.json").read_text())


class Running:
    """A worker as `wait_for` wants it."""

    def __init__(self, process: Any) -> None:
        self.process = process

    def poll(self) -> int | None:
        return self.process.exitcode


def reaches(process: Any, moment: Callable[[], bool]) -> None:
    wait_for(Running(process), moment)  # type: ignore[arg-type]


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A file system of its own at the folder; the function mounts it again with other options."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no mounts here: {mounted.stderr.strip()}")
    try:
        yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True) and None
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@only_root_mounts
def test_a_disk_that_is_full(fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any):
    before = server.states()
    with small_disk(fresh / "features", "200k") as remount:
        assert not ends("extract", fresh, workplace, server)
        assert "no room for features" in said(fresh, "extract")
        check_whole(fresh)
        done = packs(fresh)
        assert server.states()["FAILED"] == before["FAILED"] + 1
        remount("size=64m")
        assert ends("extract", fresh, workplace, server)
        assert done <= packs(fresh)
        assert trained_on(workplace, fresh) == trained_on(workplace, undisturbed[1])
    note("disk-full", {"packs_before_it_was_full": len(done), "outcome": "failed in words, resumed, equal"})


@only_root_mounts
def test_a_disk_that_fills_up_under_checkpoints(fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any):
    with small_disk(fresh / "runs", "700k") as remount:
        assert not ends("train", fresh, workplace, server)
        assert "No space left" in said(fresh, "train") or "no room" in said(fresh, "train")
        check_whole(fresh)
        seen = num_checkpoints(fresh)
        remount("size=64m")
        assert ends("train", fresh, workplace, server)
        check_equal(workplace, fresh, result(fresh), undisturbed)
    note("disk-full-training", {"checkpoints_before_it_was_full": seen, "outcome": "failed in words, resumed, equal"})


@only_root_mounts
def test_a_store_that_is_read_only(fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any):
    with small_disk(fresh / "features", "64m") as remount:
        remount("ro")
        assert not ends("extract", fresh, workplace, server)
        assert "is read-only; nothing was changed" in said(fresh, "extract")
        remount("rw")
        shutil.copytree(undisturbed[1] / "features", fresh / "features", dirs_exist_ok=True)
        remount("ro")
        assert ends("train", fresh, workplace, server), "features that are there can be read"
        check_equal(workplace, fresh, result(fresh), undisturbed)
        remount("rw")
    note("read-only", {"outcome": "refused in words where something is missing, read where nothing is"})


def test_a_shard_that_rots_before_training(fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any):
    """One bit, and the file's time as it was: nobody notices before the features are read."""
    shutil.copytree(undisturbed[1] / "features", fresh / "features")
    shard = min(fresh.glob("features/v1/*/*.zarr/values/c/0/0"))
    status, data = shard.stat(), bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 4
    shard.write_bytes(data)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not FeatureStore(fresh / "features").verify().is_sound
    tries = [ends("train", fresh, workplace, server) for _ in range(2)]
    assert tries == [False, True], "told, and made again by the same command"
    assert "is damaged" in said(fresh, "train")
    check_equal(workplace, fresh, result(fresh), undisturbed)
    note("damaged-shard", {"outcome": "told by the read, made again by the next run, equal"})


def test_a_decoder_that_hangs(fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any):
    """Stopped, it is as deaf as one that loops for ever; the limit of 60 s and 5 s for each second of media ends it."""
    process = worker("extract", fresh, workplace, server.url, {"IAMSB_MAX_WORKERS": "1"})
    reaches(process, lambda: bool(decoders(process.pid)) and num_packs(fresh) >= 2)
    stopped = None
    while stopped is None and process.is_alive():
        for child in decoders(process.pid):
            with contextlib.suppress(psutil.Error):
                child.send_signal(signal.SIGSTOP)
                stopped = child.pid
    began = time.monotonic()
    assert joined(process)
    waited = time.monotonic() - began
    kinds = [one["kind"] for one in result(fresh, "extract")["bad"]]
    assert kinds in (["timeout"], []), "it was between two videos where there is none"
    assert ends("extract", fresh, workplace, server)
    assert result(fresh, "extract")["bad"] == []
    assert trained_on(workplace, fresh) == trained_on(workplace, undisturbed[1])
    note("hang", {"seconds": round(waited, 1), "kinds": kinds, "outcome": "one video late, tried again, equal"})


def test_the_same_run_twice_at_once(fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any):
    before = server.states()
    both = [worker("train", fresh, workplace, server.url) for _ in range(2)]
    assert [joined(process) for process in both] == [True, True]
    check_equal(workplace, fresh, result(fresh), undisturbed)
    assert len(list(fresh.glob("runs/*/outcome.json"))) == 1
    assert result(fresh)["model"]["version"] in (1, "1"), "one model was registered, not two"
    assert server.states()["COMPLETED"] == before["COMPLETED"] + 4, "both, each with its extraction"
    note("twice-at-once", {"outcome": "one training, one model, both runs completed"})


class Tracking:
    """An MLflow server on loopback that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"]
        command += ["--default-artifact-root", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if answers(f"{self.url}/health"):
                return
            time.sleep(0.2)
        raise AssertionError((self._folder / "server.log").read_text()[-2000:])

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def test_a_tracking_server_that_is_gone_for_a_minute(
    fresh: Path, workplace: Path, server: PrefectServer, undisturbed: Any
):
    tracking = Tracking(workplace / "tracking")
    try:
        shutil.copytree(undisturbed[1] / "features", fresh / "features")
        process = worker("train", fresh, workplace, server.url, {"MLFLOW_TRACKING_URI": tracking.url})
        reaches(process, lambda: num_checkpoints(fresh) >= 1)
        tracking.kill()
        time.sleep(OUTAGE_SECONDS)
        seen = num_checkpoints(fresh)
        tracking.start()
        assert joined(process), said(fresh, "train")[-2000:]
        check_equal(workplace, fresh, result(fresh), undisturbed)
        logged = epoch_metrics(workplace / "tracking" / "mlflow.db")
        assert logged == epoch_metrics(undisturbed[1] / "mlflow.db"), "no number is missing"
    finally:
        tracking.kill()
    note("tracking-server", {"seconds": OUTAGE_SECONDS, "checkpoints_at_its_end": seen, "outcome": "equal"})
