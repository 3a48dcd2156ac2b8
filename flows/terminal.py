"""What a command shows: one JSON document or a readable summary on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from iamsb_core.digest import plain
from tasks import progress
from tasks.logs import OURS, JsonLines, wants_json

DONE, FAILED, WRONG_USAGE, FORGED = 0, 1, 2, 3
"""exit codes; the last only where a command was asked to tell by it that something is forged"""
_FILE_COLUMNS = 120
_HANDLER = "iamsb-terminal"

log = logging.getLogger(__name__)


class UsageError(ValueError):
    """A command line that cannot work, found before anything was started: exit code 2."""


class Terminal:
    """The two outputs of one command. With `json_wanted`, stdout carries exactly one document, or one a line."""

    def __init__(self, *, json_wanted: bool, debug: bool) -> None:
        self.json_wanted = json_wanted
        self.debug = debug
        self.messages = Console(stderr=True)
        self._stdout = sys.stdout
        self._indent: int | None = 2

    def in_lines(self) -> None:
        """With JSON, print objects as they come, one a line (JSON Lines), and not one document at the end."""
        self._indent = None

    def line(self, data: Mapping[str, Any]) -> None:
        """One object of a command that prints in lines; nothing where JSON is not wanted."""
        if self.json_wanted:
            self._write(data)

    def run(self, action: Callable[[Terminal], Mapping[str, Any]]) -> int:
        """Carry out a command and return the exit code; a failure is one clear message."""
        with self._outputs():
            try:
                with self._progress():
                    document = action(self)
            except KeyboardInterrupt:
                return self._failed("interrupted; run the same command again to go on where it stopped", 130)
            except UsageError as error:
                return self._failed(str(error), WRONG_USAGE)
            except Exception as error:
                if self.debug:
                    traceback.print_exc()
                return self._failed(message_of(error), FAILED)
            if self.json_wanted:
                self._write(document)
            return int(document.get("exit_code", FAILED if document.get("failed") else DONE))

    def say(self, text: str) -> None:
        """A line of the readable summary; nothing where JSON is wanted."""
        if not self.json_wanted:
            Console(file=self._stdout, highlight=False, soft_wrap=True).print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of the readable summary; a column whose last entry is a number stands to the right."""
        if self.json_wanted:
            return
        table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, column in enumerate(columns):
            numeric = bool(rows) and rows[-1][number].replace(".", "").removeprefix("-").isdecimal()
            table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
        for row in rows:
            table.add_row(*row)
        is_terminal = self._stdout.isatty()
        Console(file=self._stdout, highlight=False, width=None if is_terminal else _FILE_COLUMNS).print(table)

    def _failed(self, message: str, code: int) -> int:
        self.messages.print(f"iamsb: {message}", markup=False, highlight=False, soft_wrap=True)
        if self.json_wanted:
            self._write({"error": message, "failed": True})
        return code

    def _write(self, document: Mapping[str, Any]) -> None:
        self._stdout.write(json.dumps(plain(dict(document)), indent=self._indent) + "\n")
        self._stdout.flush()

    @contextlib.contextmanager
    def _outputs(self) -> Iterator[None]:
        """Logs on stderr; with JSON, stdout itself is turned to stderr, for children and libraries too."""
        _log_to(self.messages, debug=self.debug)
        if not self.json_wanted:
            yield
            return
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        try:
            with os.fdopen(os.dup(kept), "w") as stdout, contextlib.redirect_stdout(sys.stderr):
                self._stdout = stdout
                yield
        finally:
            os.dup2(kept, 1)
            os.close(kept)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[None]:
        if not self.messages.is_terminal or wants_json():
            with progress.listening(progress.LogListener()):
                yield
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bars = Progress(*columns, TextColumn("{task.fields[text]}"), console=self.messages, transient=True)
        with bars, progress.listening(_Bars(bars)):
            yield


class _Bars:
    """One bar for each stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: progress.Progress) -> None:
        if step.stage not in self._tasks:
            self._tasks[step.stage] = self._bars.add_task(step.stage, total=step.total, text="")
        self._bars.update(self._tasks[step.stage], completed=step.done, total=step.total, text=step.text)


def message_of(error: BaseException) -> str:
    """An error's own words; its kind too where the words alone would not be understood."""
    text = str(error).strip()
    if isinstance(error, ValueError | OSError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _log_to(console: Console, *, debug: bool) -> None:
    """Our loggers from INFO up, everyone else's warnings; one line each, as JSON where the environment asks for it."""
    handler: logging.Handler
    if wants_json():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
    elif console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_level=False, rich_tracebacks=debug)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: debug or _is_wanted(record))
    root = logging.getLogger()
    handler.set_name(_HANDLER)
    for old in [old for old in root.handlers if old.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)


def _is_wanted(record: logging.LogRecord) -> bool:
    """Ours, and warnings of others; but what Prefect says of a failure is our message over again, with a traceback."""
    source = record.name.split(".")[0]
    return source in OURS or (record.levelno >= logging.WARNING and source != "prefect")


def end_on_sigterm() -> None:
    """Turn SIGTERM into an ordinary exit, so that children and temporary servers are stopped."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
