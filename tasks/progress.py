"""How far a task is: told to whoever listens in this process, and to the log now and then."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 15.0


@dataclass(frozen=True)
class Progress:
    """One stage's position."""

    stage: str
    done: int
    total: int
    text: str = ""


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []
_last_logged: dict[str, float] = {}
_lock = threading.Lock()


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear of every step that tasks of this process take."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def report(stage: str, done: int, total: int, text: str = "") -> None:
    """Say how far a stage is; may be called often and from any thread."""
    progress = Progress(stage, done, total, text)
    if not _listeners:
        _log(progress)
    for listener in tuple(_listeners):
        listener(progress)


def is_due(progress: Progress) -> bool:
    """Whether enough time has passed since the stage was last written down; its end always is."""
    with _lock:
        now = time.monotonic()
        due = progress.done >= progress.total or now - _last_logged.get(progress.stage, -1e9) >= LOG_EVERY_SECONDS
        if due:
            _last_logged[progress.stage] = now
        return due


def _log(progress: Progress) -> None:
    if is_due(progress):
        log.info("%s", describe(progress))


def describe(progress: Progress) -> str:
    """One line: `extract 12 of 64, 2 bad`."""
    tail = f", {progress.text}" if progress.text else ""
    return f"{progress.stage} {progress.done} of {progress.total}{tail}"
