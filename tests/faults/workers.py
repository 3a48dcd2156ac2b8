"""Processes that run the flows against a Prefect server, forked from one that has imported everything already.

A command spends most of its life on imports; these spend it on the work, so that many can be killed in little time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from loopback import answers, free_port

from flows.environment import SERVER_MODULE
from flows.left_behind import call_crashed

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["flows.extract", "flows.train", "storage.tracking", "workers"])
_START_SECONDS = 900.0
"""on a machine with much else to do"""


def worker(kind: str, home: Path, workplace: Path, api_url: str, variables: Mapping[str, str] | None = None) -> Any:
    """A started process that does some work in that home.

    kind: the flow `extract` or `train` (which extracts first what is missing), or `extract-task` or `train-task`: what
    the tasks of these flows do, without Prefect around it.
    """
    (home / "logs").mkdir(parents=True, exist_ok=True)
    process = _CONTEXT.Process(target=_work, args=(kind, str(home), str(workplace), api_url, variables or {}))
    process.start()
    return process


def _work(kind: str, home: str, workplace: str, api_url: str, variables: Mapping[str, str]) -> None:
    log = os.open(Path(home) / "logs" / f"{kind}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {"IAMSB_HOME": home, **variables}
    root = Path(workplace) / "data"
    if kind.endswith("-task"):
        _do_tasks(kind, Path(home), root, Path(workplace) / "config.json")
        return
    from prefect.settings import (  # noqa: PLC0415 - here, in the process that uses it
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_LOCAL_STORAGE_PATH,
        PREFECT_LOGGING_LEVEL,
        temporary_settings,
    )

    from flows.extract import ExtractConfig, extract  # noqa: PLC0415
    from flows.train import TrainFlowConfig, train  # noqa: PLC0415
    from iamsb_core.configuration import parse  # noqa: PLC0415
    from iamsb_core.digest import plain  # noqa: PLC0415

    prefect_home = Path(home) / "prefect"
    settings = {PREFECT_API_URL: api_url, PREFECT_HOME: prefect_home, PREFECT_LOGGING_LEVEL: "ERROR"}
    settings |= {PREFECT_LOCAL_STORAGE_PATH: prefect_home / "storage"}
    with temporary_settings(settings):
        if kind == "extract":
            done: Any = extract(root, "lavdf", ExtractConfig(splits=("train", "dev"), device="cpu"))
        else:
            given = json.loads((Path(workplace) / "config.json").read_text())
            done = train(root, "lavdf", parse(TrainFlowConfig, given, where="config.json"))
    (Path(home) / f"{kind}.json").write_text(json.dumps(plain(done)))


def _do_tasks(kind: str, home: Path, root: Path, config: Path) -> None:
    """Two shards at a time, as the flow does; or the training of features that are there."""
    from flows.train import TrainFlowConfig, job_of  # noqa: PLC0415
    from iamsb_core.configuration import parse  # noqa: PLC0415
    from iamsb_core.digest import plain  # noqa: PLC0415
    from iamsb_core.manifest import VideoShard  # noqa: PLC0415
    from storage.home import Home  # noqa: PLC0415
    from storage.refs import ManifestRef  # noqa: PLC0415
    from tasks import extraction, fitting  # noqa: PLC0415
    from tasks.features import choose_encoders, take_stock  # noqa: PLC0415
    from tasks.jobs import ShardJob, shard_jobs  # noqa: PLC0415

    here = Home(home)
    audio, visual = choose_encoders.fn("handcrafted")
    stock = take_stock.fn("lavdf", root, here, ("train", "dev"))
    if kind == "extract-task":
        pattern = ShardJob(shard=VideoShard(root, ()), audio=audio, visual=visual, store=here.features)
        with ThreadPoolExecutor(2) as pool:
            done: Any = list(pool.map(extraction.extract, shard_jobs(stock, 64, pattern)))
    else:
        given = parse(TrainFlowConfig, json.loads(config.read_text()), where="config.json").resolved()
        found = SimpleNamespace(root=root, manifest=ManifestRef.of(stock.manifest), audio=audio, visual=visual)
        done = fitting.fit(job_of("lavdf", given, found, here), stock.manifest)  # type: ignore[arg-type]
    (home / f"{kind}.json").write_text(json.dumps(plain(done)))


def decoders(pid: int) -> list[psutil.Process]:
    """The decoding processes of a worker."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "iamsb_core.media.worker" in child.cmdline()]
    except psutil.Error:
        return []


class PrefectServer:
    """A Prefect server on loopback, with its record in a folder, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/api"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        spec = find_spec("prefect")
        assert spec is not None
        assert spec.origin is not None
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(spec.origin).parent), "--factory"]
        command += [SERVER_MODULE, "--host", "127.0.0.1", "--port", str(self._port), "--log-level", "error"]
        marks = {"PREFECT_HOME": str(self._folder), "PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
        with (self._folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, env=os.environ | marks, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + _START_SECONDS
        while not answers(f"{self.url}/health"):
            assert self._process.poll() is None, (self._folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def states(self) -> Counter[str]:
        """How many flow runs are in which state."""
        request = urllib.request.Request(
            f"{self.url}/flow_runs/filter", data=b"{}", headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Counter(run["state_type"] for run in json.loads(answer.read()))

    def forget(self) -> None:
        """What a command does that finds itself alone: whatever is shown as running was killed."""
        call_crashed(self.url)
