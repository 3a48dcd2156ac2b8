"""How far a stage is: told to whoever listens in this process, and to the log now and then."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

LOG_EVERY_SECONDS = 15.0


@dataclass(frozen=True)
class Progress:
    """One stage's position."""

    stage: str
    done: int
    total: int
    text: str = ""

    def __str__(self) -> str:
        tail = f", {self.text}" if self.text else ""
        return f"{self.stage} {self.done} of {self.total}{tail}"


Listener = Callable[[Progress], None]
_listeners: list[Listener] = []
STEPS = ("decode", "encode", "localise", "report")
"""of examining one video, in order"""
StepListener = Callable[[Path, str], None]
_step_listeners: list[StepListener] = []


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
    for listener in tuple(_listeners) or (_log_listener,):
        listener(progress)


@contextlib.contextmanager
def hearing_steps(listener: StepListener) -> Iterator[None]:
    """Hear of each of `STEPS` as tasks of this process begin it on a video."""
    _step_listeners.append(listener)
    try:
        yield
    finally:
        _step_listeners.remove(listener)


def step(video: Path, name: str) -> None:
    """Say that one of `STEPS` begins on a video; may be called from any thread."""
    for listener in tuple(_step_listeners):
        listener(video, name)


@dataclass
class Tally:
    """A stage that several threads advance."""

    stage: str
    total: int
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def advance(self, num: int = 1, text: str = "") -> None:
        with self._lock:
            self.done = min(self.done + num, self.total)
            done = self.done
        report(self.stage, done, self.total, text)


_tallies: dict[str, Tally] = {}


def begin(stage: str, total: int) -> None:
    """Open a stage that tasks of this process advance by its name."""
    _tallies[stage] = Tally(stage, total)
    report(stage, 0, total)


def advance(stage: str, num: int = 1, text: str = "") -> None:
    """Advance an open stage; in another process than the flow's, where none is open, this does nothing."""
    if num and stage in _tallies:
        _tallies[stage].advance(num, text)


class LogListener:
    """Writes a stage to the log at its end, and every 15 seconds until then."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        last = self._last.setdefault(progress.stage, now)
        if progress.done >= progress.total or now - last >= LOG_EVERY_SECONDS:
            self._last[progress.stage] = now
            log.info("%s", progress)


_log_listener = LogListener()
