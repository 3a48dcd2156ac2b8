"""What an extraction shows: a progress artifact, metrics and the bad videos in MLflow, and a table at the end.

Watching must not cost what is watched: what cannot be shown is logged, and the extraction goes on.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact

from storage.home import Home
from tasks.gpu import gpu_percent
from tasks.jobs import BadVideo
from tasks.links import link_run
from tasks.progress import Tally
from tasks.throughput import Throughput

if TYPE_CHECKING:
    from storage.tracking import TrackedRun

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
EXPERIMENT = "iamsb-extraction"
"""apart from trainings and evaluations, so that these stay easy to compare"""
PROGRESS_KEY, NUMBERS_KEY = "extraction-progress", "extraction-numbers"


class ExtractionRecord:
    """Follows one extraction's tally. Of a run in which everything was cached, MLflow is told nothing."""

    def __init__(self, home: Home, dataset: str, tally: Tally, about: dict[str, Any]) -> None:
        self._home, self._dataset, self._tally, self._about = home, dataset, tally, about
        self._began = time.monotonic()
        self._artifact: UUID | None = None
        self._run: TrackedRun | None = None
        self._failing: set[str] = set()
        self._lock = threading.Lock()
        self._is_on_gpu = str(about.get("device", "")).startswith("cuda")

    def tell(self) -> None:
        """Show how far it is; from any thread."""
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        if self._is_on_gpu:
            self._tally.gpu_percent = gpu_percent()
        now = self._tally.throughput()
        self._try("the progress artifact", lambda: self._show(now))
        if now.num_done > now.num_cached:
            self._try("MLflow", lambda: self._log(now))

    def finish(self, bad: Sequence[BadVideo]) -> None:
        """Show what came of it: the last numbers, and the videos that cannot be used."""
        self.tell()
        now = self._tally.throughput()
        rows = [{"what": name, "value": round(value, 4)} for name, value in now.metrics().items()]
        rows.append({"what": "seconds", "value": round(now.elapsed_seconds, 1)})
        self._try("the table", lambda: create_table_artifact(rows, key=NUMBERS_KEY, description=str(now)))
        if self._run is not None:
            self._try("MLflow", lambda: self._reached().log_json(list(bad), "bad_videos.json"))

    def close(self, status: str) -> None:
        """End the run in MLflow, where there is one."""
        if self._run is not None:
            self._try("MLflow", lambda: self._reached().finish(status))

    def _show(self, now: Throughput) -> None:
        percent = 100.0 * now.share_done
        words = f"{self._dataset}: {now.num_done} of {now.num_total} clips, {now}"
        if self._artifact is None:
            self._artifact = create_progress_artifact(percent, key=PROGRESS_KEY, description=words)
        else:
            update_progress_artifact(self._artifact, percent, description=words)

    def _log(self, now: Throughput) -> None:
        if self._run is None:
            from storage.tracking import start_run  # noqa: PLC0415 - MLflow takes seconds to import

            tags = {"kind": "extract"}
            self._run = start_run(self._home, f"extract-{self._dataset}", experiment=EXPERIMENT, tags=tags)
            self._run.log_config(self._about)
            link_run(self._run)
        self._run.log_metrics(now.metrics(), step=round(time.monotonic() - self._began))
        self._reached().flush()

    def _reached(self) -> TrackedRun:
        """The run, once its server is known to answer: MLflow itself would try for minutes. Raises ValueError."""
        from storage.mlflow_setup import connect  # noqa: PLC0415 - MLflow takes seconds to import

        assert self._run is not None
        if self._run.client.tracking_uri.startswith("http"):
            connect(self._home)
        return self._run

    def _try(self, what: str, action: Callable[[], object]) -> None:
        """Tell it; where that fails, say so once, and tell more the next time that it works."""
        try:
            action()
        except Exception as error:
            if what not in self._failing:
                log.warning("%s cannot be told of this extraction, which goes on: %s", what, error)
            self._failing.add(what)
        else:
            self._failing.discard(what)


@contextlib.contextmanager
def recorded(home: Home, dataset: str, tally: Tally, about: dict[str, Any]) -> Iterator[ExtractionRecord]:
    """Follow an extraction by a thread of its own, in the flow run's context, until the block ends."""
    record = ExtractionRecord(home, dataset, tally, about)
    record.tell()
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(EVERY_SECONDS):
            record.tell()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(follow,), name="record", daemon=True)
    thread.start()
    status = "KILLED"
    try:
        yield record
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        ended.set()
        thread.join()
        record.close(status)
