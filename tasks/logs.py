"""Which run, shard and clip a log line is about, and log lines as JSON for machines that collect them.

The ids are set where the work is done, and are told with every line that is logged meanwhile, whoever logs it. Nothing
here imports Prefect: it loads this module while it sets up logging.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

FORMAT_VARIABLE = "IAMSB_LOG_FORMAT"
OURS = ("iamsb_core", "storage", "tasks", "flows")
"""our loggers"""
_FORMATS = ("text", "json")

_NONE: Mapping[str, str] = MappingProxyType({})
_ids: ContextVar[Mapping[str, str]] = ContextVar("log_ids", default=_NONE)


@contextlib.contextmanager
def log_ids(**ids: str) -> Iterator[None]:
    """Name what is worked on: `shard`, `clip`, `mlflow_run`; inner names are added to outer ones.

    A new thread starts without them: run it in `contextvars.copy_context()`.
    """
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def ids_now() -> dict[str, str]:
    """The ids that a line logged now is about: those of `log_ids`, and of the Prefect run it is logged in.

    Prefect's are `run`, `run_name`, `flow`, and in a task `task_run` and `task_run_name`.
    """
    return {**_prefect_ids(), **_ids.get()}


def _prefect_ids() -> dict[str, str]:
    """From Prefect's own context, where Prefect is there at all."""
    context = sys.modules.get("prefect.context")
    if context is None or not hasattr(context, "TaskRunContext"):  # it is being imported
        return {}
    found: dict[str, str] = {}
    in_flow, in_task = context.FlowRunContext.get(), context.TaskRunContext.get()
    if in_flow is not None and in_flow.flow_run is not None:
        found |= {"run": str(in_flow.flow_run.id), "run_name": in_flow.flow_run.name, "flow": in_flow.flow.name}
    if in_task is not None:
        found |= {"task_run": str(in_task.task_run.id), "task_run_name": in_task.task_run.name}
        found.setdefault("run", str(in_task.task_run.flow_run_id))
    return found


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the ids, and an error with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_given_ids(record),
            **ids_now(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "traceback": self.formatException(record.exc_info)}
        return json.dumps(line, ensure_ascii=False, default=str)


def _given_ids(record: logging.LogRecord) -> dict[str, str]:
    """What Prefect's own loggers, of a worker too, say of the run they log about."""
    given = {"run": "flow_run_id", "run_name": "flow_run_name", "task_run": "task_run_id", "worker": "worker_name"}
    found = {name: getattr(record, attribute, None) for name, attribute in given.items()}
    return {name: str(value) for name, value in found.items() if value}


def wants_json(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for JSON. Raises ValueError for a format that there is not."""
    chosen = environ.get(FORMAT_VARIABLE) or "text"
    if chosen not in _FORMATS:
        raise ValueError(f"{FORMAT_VARIABLE} is {chosen!r}; there are {' and '.join(_FORMATS)}")
    return chosen == "json"


def json_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What Prefect must be told, so that its own processes log as JSON too; nothing where text is wanted."""
    if not wants_json(environ):
        return {}
    return {"PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json", "PREFECT_LOGGING_COLORS": "false"}
