"""Extraction on a Dask cluster as a user starts one: a worker that dies costs nothing, resources are taken one by one.

A scheduler and workers are processes of their own on loopback, as is the Prefect server that all of them tell.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, get_task_stream
from loopback import answers, free_port
from workplace import features_digest, num_packs

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]

WAIT_SECONDS = 600
NUM_CLIPS, NUM_SHARDS = 12, 6


def until(moment: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not moment():
        assert process.poll() is None, f"the process ended before {what}"
        assert time.monotonic() < deadline, f"{what} took too long"
        time.sleep(0.02)


class Cluster:
    """A Prefect server, a Dask scheduler, and workers that the test starts and kills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        api, dask = free_port(), free_port()
        self.address, self.api_url = f"tcp://127.0.0.1:{dask}", f"http://127.0.0.1:{api}/api"
        server = self.start("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(api))
        self.scheduler = self.start(
            *("dask", "scheduler", "--host", "127.0.0.1", "--port", str(dask), "--no-dashboard", "--no-show")
        )
        until(lambda: answers(f"{self.api_url}/health"), "the server answered", server)

    def environment(self, home: Path | None = None) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("PREFECT_", "IAMSB_"))}
        named = {"PREFECT_HOME": str(self.folder / "prefect"), "PREFECT_API_URL": self.api_url, "OMP_NUM_THREADS": "1"}
        patience = {f"DASK_DISTRIBUTED__COMM__TIMEOUTS__{kind}": "300s" for kind in ("CONNECT", "TCP")}
        named |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "0", "IAMSB_HOME": str(home or self.folder)}
        return kept | named | patience

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command of the virtual environment, in a session of its own, its output in a file."""
        program = Path(sys.executable).parent / command[0]
        with (self.folder / f"{command[0]}-{len(self.processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [program, *command[1:]],
                env=self.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        """`dask worker` without the nanny that would start it again."""
        options = ("--no-nanny", "--no-dashboard", "--local-directory", str(self.folder / "scratch"), *options)
        return self.start("dask", "worker", self.address, "--host", "127.0.0.1", *options)

    def extract(self, data: Path, home: Path, **variables: str) -> subprocess.Popen[bytes]:
        """`iamsb extract`, with one shard for two clips."""
        options = ["lavdf", str(data), "--shard-size", "2", "--dask-address", self.address, "--json"]
        with (self.folder / "extract.log").open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", "extract", *options],
                env=self.environment(home) | variables,
                stdout=subprocess.PIPE,
                stderr=errors,
            )

    def stop(self) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("dask") / "cluster")
    try:
        yield made
    finally:
        made.stop()


def finished(process: subprocess.Popen[bytes], cluster: Cluster) -> dict[str, Any]:
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, output.decode() + (cluster.folder / "extract.log").read_text()[-3000:]
    return json.loads(output)


def shard_runs(cluster: Cluster, since: str = "") -> list[dict[str, Any]]:
    """What the Prefect server knows of the shards' task runs that began after a moment, as they began."""
    body = json.dumps({"task_runs": {"name": {"like_": "shard-"}}, "limit": 200}).encode()
    request = urllib.request.Request(
        f"{cluster.api_url}/task_runs/filter", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        found = [run for run in json.load(answer) if (run["start_time"] or "") > since]
    return sorted(found, key=lambda run: run["start_time"])


def test_a_worker_that_is_killed_costs_nothing(cluster: Cluster, tiny_dataset: Path, tmp_path: Path) -> None:
    workers = [cluster.worker("--nthreads", "1", "--name", name) for name in ("first", "second")]
    undisturbed = finished(cluster.extract(tiny_dataset, tmp_path / "whole"), cluster)
    assert (undisturbed["num_videos"], undisturbed["num_shards"], undisturbed["bad"]) == (NUM_CLIPS, NUM_SHARDS, [])

    home = tmp_path / "killed"
    running = cluster.extract(tiny_dataset, home)
    until(lambda: num_packs(home) >= 4, "two shards were done", running)
    workers[0].send_signal(signal.SIGKILL)
    workers[0].wait(30)
    assert num_packs(home) < 2 * NUM_SHARDS, "it was killed in the middle"
    done = finished(running, cluster)
    assert (done["num_shards"], done["num_bad"]) == (NUM_SHARDS, 0)
    assert features_digest(tiny_dataset, home) == features_digest(tiny_dataset, tmp_path / "whole")
    states = {run["state_type"] for run in shard_runs(cluster)}
    assert states == {"COMPLETED"}, "the server was told by every worker, and of no failure"
    workers[1].terminate()
    workers[1].wait(60)


def test_shards_go_one_at_a_time_to_the_worker_that_has_their_resource(
    cluster: Cluster, tiny_dataset: Path, tmp_path: Path
) -> None:
    workers = [cluster.worker("--nthreads", "4", "--name", "with", "--resources", "GPU=1")]
    workers.append(cluster.worker("--nthreads", "4", "--name", "without"))
    began = datetime.now(UTC).isoformat()
    with Client(cluster.address, set_as_default=False) as client, get_task_stream(client) as stream:
        client.wait_for_workers(2, timeout=WAIT_SECONDS)
        finished(cluster.extract(tiny_dataset, tmp_path / "home", IAMSB_DASK_RESOURCES="GPU=1"), cluster)
        names = {address: worker["id"] for address, worker in client.scheduler_info()["workers"].items()}
    assert {names[task["worker"]] for task in stream.data if "extract_shard" in str(task["key"])} == {"with"}
    runs = shard_runs(cluster, since=began)
    assert len(runs) == NUM_SHARDS
    assert all(done["end_time"] <= following["start_time"] for done, following in itertools.pairwise(runs))
    for worker in workers:
        worker.terminate()
        worker.wait(60)
