"""One run in MLflow: its config, data, metrics, files and outcome. A run that was killed is taken up again by its id.

Nothing here uses MLflow's global state (active run, tracking URI), so runs of several threads do not mix.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from iamsb_core.digest import plain
from storage.git_commit import git_commit
from storage.home import Home
from storage.mlflow_setup import EXPERIMENT, connect, experiment_id, is_reachable

log = logging.getLogger(__name__)

PARENT_TAG = "mlflow.parentRunId"
"""what says which run another is a part of"""
_MAX_PARAM_CHARACTERS = 500
_MAX_DIGEST_CHARACTERS = 36
_PARAMS_PER_CALL = 100
_METRICS_PER_CALL = 1000
_NOT_IN_A_NAME = re.compile(r"[^\w\-. /:]")


class TrackedRun:
    """A run to log to; as a context manager it ends as FINISHED, FAILED or KILLED by itself."""

    def __init__(self, client: MlflowClient, run_id: str, *, is_resumed: bool, system_metrics: bool) -> None:
        self.client, self.run_id = client, run_id
        self._is_resumed = is_resumed
        self._logged_steps: dict[str, set[int]] = {}
        self._waiting: list[Metric] = []
        self._monitor: Any = None
        if system_metrics:
            make_monitor: Any = SystemMetricsMonitor
            self._monitor = make_monitor(run_id, resume_logging=is_resumed, tracking_uri=client.tracking_uri)
            self._monitor.start()

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self.finish("FAILED" if isinstance(error, Exception) else "KILLED")

    def log_config(self, config: Any, file: str = "config.json") -> None:
        """The whole configuration as an artifact, and its short values as parameters for MLflow's tables.

        Raises ValueError where a resumed run was started with other values.
        """
        data = plain(config)
        params = {name: text for name, text in flat(data).items() if len(text) <= _MAX_PARAM_CHARACTERS}
        known = self.client.get_run(self.run_id).data.params if self._is_resumed else {}
        changed = [name for name, text in params.items() if known.get(name, text) != text]
        if changed:
            was = ", ".join(f"{name} was {known[name]} and is now {params[name]}" for name in changed[:5])
            raise ValueError(f"run {self.run_id} was started with other settings: {was}; start a new run instead")
        entries = [Param(name, text) for name, text in params.items() if name not in known]
        for first in range(0, len(entries), _PARAMS_PER_CALL):
            self.client.log_batch(self.run_id, params=entries[first : first + _PARAMS_PER_CALL])
        self.log_json(data, file)

    def log_dataset(
        self,
        name: str,
        digest: str,
        *,
        context: str,
        source: Mapping[str, Any],
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        """Data that the run used, with its digest. Context: training, validation, evaluation or features."""
        dataset = Dataset(
            name=name,
            digest=digest[:_MAX_DIGEST_CHARACTERS],
            source_type="local",
            source=json.dumps({**plain(dict(source)), "digest": digest}),
            profile=None if profile is None else json.dumps(plain(dict(profile))),
        )
        self.client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Numbers at a step; they wait for `flush` or for a full batch. A resumed run leaves out steps it has."""
        now = int(time.time() * 1000)
        for name, value in metrics.items():
            key = metric_name(name)
            if step not in self._steps(key):
                self._steps(key).add(step)
                self._waiting.append(Metric(key, float(value), now, step))
        if len(self._waiting) >= _METRICS_PER_CALL:
            self.flush(patiently=False)

    def flush(self, *, patiently: bool = True) -> None:
        """Send the metrics that wait; not patiently: where the store does not answer at once they go on waiting."""
        if not patiently and self._waiting and not is_reachable(self.client.tracking_uri):
            log.warning("the tracking store is out of reach; %d numbers wait for it", len(self._waiting))
            return
        while self._waiting:
            self.client.log_batch(self.run_id, metrics=self._waiting[:_METRICS_PER_CALL])
            del self._waiting[:_METRICS_PER_CALL]

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Words about the run, to be searched for."""
        self.client.log_batch(self.run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def adopt(self, run_id: str) -> None:
        """Make another run a part of this one, below which MLflow's tables show it."""
        self.client.set_tag(run_id, PARENT_TAG, self.run_id)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """A file as an artifact, in a folder of the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_text(self, text: str, file: str) -> None:
        """A text as an artifact."""
        self.client.log_text(self.run_id, text, file)

    def log_json(self, data: Any, file: str) -> None:
        """JSON data as an artifact."""
        self.log_text(json.dumps(plain(data), indent=2), file)

    def log_figure(self, figure: Any, file: str) -> None:
        """A matplotlib figure as an artifact."""
        self.client.log_figure(self.run_id, figure, file)

    def finish(self, status: str = "FINISHED") -> None:
        """Send what waits and end the run: FINISHED, FAILED or KILLED."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        self.flush()
        self.client.set_terminated(self.run_id, status)

    def _steps(self, key: str) -> set[int]:
        if key not in self._logged_steps:
            history = self.client.get_metric_history(self.run_id, key) if self._is_resumed else []
            self._logged_steps[key] = {metric.step for metric in history}
        return self._logged_steps[key]


def start_run(
    home: Home,
    name: str,
    *,
    run_id: str | None = None,
    experiment: str = EXPERIMENT,
    tags: Mapping[str, str] | None = None,
    system_metrics: bool = False,
) -> TrackedRun:
    """A new run, or an earlier one taken up again where run_id is given. Raises ValueError for an unknown run_id."""
    client = connect(home)
    if run_id is not None:
        try:
            client.update_run(run_id, status="RUNNING")
        except MlflowException as error:
            raise ValueError(f"no run {run_id!r} in {client.tracking_uri}; start a new one") from error
        return TrackedRun(client, run_id, is_resumed=True, system_metrics=system_metrics)
    commit = git_commit()
    known = {} if commit is None else {"mlflow.source.git.commit": commit}
    run = client.create_run(experiment_id(client, home, experiment), tags={**known, **(tags or {})}, run_name=name)
    return TrackedRun(client, run.info.run_id, is_resumed=False, system_metrics=system_metrics)


def metric_name(name: str) -> str:
    """The name with what MLflow does not allow in one replaced: `ap@0.5` is logged as `ap_0.5`."""
    return _NOT_IN_A_NAME.sub("_", name)


def flat(data: Any, prefix: str = "") -> dict[str, str]:
    """Nested JSON data as one level of dotted names and texts: {"a": {"b": 1}} is {"a.b": "1"}."""
    if isinstance(data, dict) and data:
        found: dict[str, str] = {}
        for name, value in data.items():
            found |= flat(value, f"{prefix}.{name}" if prefix else str(name))
        return found
    return {metric_name(prefix or "value"): data if isinstance(data, str) else json.dumps(data)}
