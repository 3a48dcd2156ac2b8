"""How far a stage is: told to whoever listens in this process, and to the log now and then."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tasks.throughput import Throughput

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
    metered: bool = False
    """whether it goes through media, so that its text is its throughput"""
    done: int = 0
    gpu_percent: float | None = None
    _num_cached: int = 0
    _num_quarantined: int = 0
    _media_seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def advance(
        self, num: int = 1, text: str = "", *, cached: int = 0, quarantined: int = 0, media_seconds: float = 0.0
    ) -> None:
        with self._lock:
            self.done = min(self.done + num, self.total)
            self._num_cached += cached
            self._num_quarantined += quarantined
            self._media_seconds += media_seconds
            done = self.done
        report(self.stage, done, self.total, text or (str(self.throughput()) if self.metered else ""))

    def throughput(self) -> Throughput:
        """Its numbers so far."""
        with self._lock:
            return Throughput(
                num_done=self.done,
                num_total=self.total,
                num_cached=min(self._num_cached, self.done),
                num_quarantined=self._num_quarantined,
                media_seconds=self._media_seconds,
                elapsed_seconds=time.monotonic() - self._began,
                gpu_percent=self.gpu_percent,
            )


_tallies: dict[str, Tally] = {}


def begin(stage: str, total: int, *, metered: bool = False) -> Tally:
    """Open a stage that tasks of this process advance by its name."""
    tally = _tallies[stage] = Tally(stage, total, metered)
    report(stage, 0, total)
    return tally


def advance(
    stage: str, num: int = 1, text: str = "", *, cached: int = 0, quarantined: int = 0, media_seconds: float = 0.0
) -> None:
    """Advance an open stage; in another process than the flow's, where none is open, this does nothing.

    Of the clips done: how many were cached, how many cannot be used, and how long those worked on play.
    """
    if num and stage in _tallies:
        _tallies[stage].advance(num, text, cached=cached, quarantined=quarantined, media_seconds=media_seconds)


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
