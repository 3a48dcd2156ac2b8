"""Examinations, one after another in a thread of their own, by the same flow that `iamsb localize` runs."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from flows.desk.models import DeskModel
from flows.localize import localize
from flows.terminal import message_of
from storage.uploads import Upload
from tasks.progress import STEPS, hearing_steps

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class Examination:
    """One file and one model."""

    sha256: str
    model: DeskModel
    state: State = "waiting"
    step: str = ""
    """which of `tasks.progress.STEPS` runs"""
    error: str = ""

    @property
    def num_steps_done(self) -> int:
        """How many of the steps are over."""
        if self.state == "done":
            return len(STEPS)
        return STEPS.index(self.step) if self.step in STEPS else 0


class Examiner:
    """Takes examinations and carries them out in order."""

    def __init__(self, reports: Path, device: str) -> None:
        self._reports, self._device = reports, device
        self._known: dict[tuple[str, str], Examination] = {}
        self._queue: queue.Queue[tuple[Upload, DeskModel] | None] = queue.Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="examiner", daemon=True)
        self._thread.start()

    def folder(self, sha256: str, key: str) -> Path:
        """Where the report of a file and a model lies."""
        return self._reports / sha256 / key

    def submit(self, upload: Upload, model: DeskModel) -> Examination:
        """Examine a file with a model, unless that is under way."""
        with self._lock:
            known = self._known.get((upload.sha256, model.key))
            if known is not None and known.state in {"waiting", "running"}:
                return known
            begun = Examination(sha256=upload.sha256, model=model)
            self._known[upload.sha256, model.key] = begun
            self._queue.put((upload, model))
        return begun

    def of(self, sha256: str) -> tuple[Examination, ...]:
        """The examinations of a file since the desk was opened, in order."""
        with self._lock:
            return tuple(each for each in self._known.values() if each.sha256 == sha256)

    def close(self, seconds: float = 10.0) -> None:
        """Begin nothing more, and wait a little for what runs."""
        with self._lock:
            while not self._queue.empty():
                self._queue.get_nowait()
            self._queue.put(None)
        self._thread.join(seconds)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            upload, model = job
            with hearing_steps(lambda video, step, job=job: self._heard(job, video, step)):
                self._examine(upload, model)

    def _examine(self, upload: Upload, model: DeskModel) -> None:
        self._set(upload, model, state="running")
        try:
            localize([upload.path], model.uri, self.folder(upload.sha256, model.key), self._device)
        except Exception as error:  # whatever it is, the page says it and the desk goes on
            said = _own_words(error, upload)
            log.warning("%s", said)
            self._set(upload, model, state="failed", error=said)
        else:
            self._set(upload, model, state="done")

    def _heard(self, job: tuple[Upload, DeskModel], video: Path, step: str) -> None:
        if video == job[0].path:
            self._set(*job, step=step)

    def _set(self, upload: Upload, model: DeskModel, **changes: str) -> None:
        with self._lock:
            key = (upload.sha256, model.key)
            self._known[key] = replace(self._known[key], **changes)  # type: ignore[arg-type]


def _own_words(error: Exception, upload: Upload) -> str:
    """Why one file could not be examined, without the flow's count and with the name that its owner gave it."""
    return message_of(error).rpartition("could be examined; ")[2].replace(str(upload.path), upload.name)
