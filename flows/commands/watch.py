"""`iamsb watch`."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.environment import Orchestrator
from flows.terminal import DONE, FAILED, Terminal, UsageError
from storage.home import Home

if TYPE_CHECKING:
    from iamsb_core.media.live import LivePiece
    from iamsb_core.watching import SettledSegment, Watcher

log = logging.getLogger(__name__)

_TOLD_EVERY_SECONDS = 5.0
_BEHIND_SECONDS = 3.0
_SHOWN_IN_TEXT = ("audio", "visual")


@dataclass
class _Told:
    """What was said so far."""

    started: float = field(default_factory=time.monotonic)
    told_at: float = field(default_factory=time.monotonic)
    counts: dict[str, int] = field(default_factory=lambda: {"audio": 0, "visual": 0, "fused": 0})
    longest_delay_seconds: float = 0.0
    most_behind_seconds: float = 0.0


def watch(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    source: str,
    model: str,
    delay_seconds: float,
    as_offline: bool,
    idle_seconds: float,
    device: str,
) -> dict[str, Any]:
    """Follow a source to its end and print segments as they settle; Ctrl-C ends it there."""
    del orchestrator
    from iamsb_core.localizer import Localizer  # noqa: PLC0415 - seconds to import
    from iamsb_core.media.clip import DecodeError  # noqa: PLC0415
    from iamsb_core.media.live import follow  # noqa: PLC0415
    from iamsb_core.watching import OfflineWatcher, PromptWatcher  # noqa: PLC0415
    from storage.registry import resolve_model  # noqa: PLC0415

    terminal.in_lines()
    home = Home.current()
    folder, ref = resolve_model(home, model)
    localizer = Localizer.load(folder, device=device, uri=ref.uri, run_id=ref.run_id)
    try:
        watcher = OfflineWatcher(localizer) if as_offline else PromptWatcher(localizer, delay_seconds=delay_seconds)
    except ValueError as error:
        raise UsageError(str(error)) from None
    told = _Told()

    def use(piece: LivePiece) -> None:
        for segment in watcher.push(piece):
            _print(terminal, told, segment)
        _tell(watcher, told)

    warnings: tuple[str, ...] = ()
    state = "done"
    try:
        end = follow(source, watcher.view, use, idle_seconds=idle_seconds, step_seconds=watcher.crop_seconds)
        duration, warnings = end.duration_seconds, end.warnings
    except KeyboardInterrupt:
        state, duration = "interrupted", watcher.ready_seconds
    except DecodeError as error:
        if not watcher.ready_seconds:
            raise ValueError(str(error)) from None
        state, duration, warnings = "failed", watcher.ready_seconds, (str(error),)
    for segment in watcher.finish(duration):
        _print(terminal, told, segment)
    return _summary(terminal, told, state, duration, warnings) | {"source": source, "model": model}


def _print(terminal: Terminal, told: _Told, segment: SettledSegment) -> None:
    told.counts[segment.stream] += 1
    told.longest_delay_seconds = max(told.longest_delay_seconds, segment.delay_seconds)
    if terminal.json_wanted:
        terminal.line({"event": "segment", **segment.__dict__})
    elif segment.stream in _SHOWN_IN_TEXT:
        start, end, score = segment.start_seconds, segment.end_seconds, segment.score
        terminal.say(f"{segment.stream:6} {start:10.3f} - {end:10.3f} s  {score:.2f}")


def _tell(watcher: Watcher, told: _Told) -> None:
    """How far, now and then; and when the machine is too slow."""
    told.most_behind_seconds = max(told.most_behind_seconds, watcher.behind_seconds)
    now = time.monotonic()
    if now - told.told_at < _TOLD_EVERY_SECONDS:
        return
    told.told_at = now
    log.info("%.1f s examined, %.1f s behind the source", watcher.ready_seconds, watcher.behind_seconds)
    if watcher.behind_seconds > _BEHIND_SECONDS:
        log.warning(
            "slower than the source: %.1f s behind; nothing is dropped, its writer waits", watcher.behind_seconds
        )


def _summary(terminal: Terminal, told: _Told, state: str, duration: float, warnings: tuple[str, ...]) -> dict[str, Any]:
    took = time.monotonic() - told.started
    for warning in warnings:
        terminal.say(f"note: {warning}")
    counts = f"{told.counts['audio']} in the sound, {told.counts['visual']} in the picture"
    terminal.say(f"{state}: {duration:.1f} s examined in {took:.1f} s; segments: {counts}")
    return {
        "event": "end",
        "state": state,
        "duration_seconds": duration,
        "took_seconds": took,
        "segments": told.counts,
        "longest_delay_seconds": told.longest_delay_seconds,
        "most_behind_seconds": told.most_behind_seconds,
        "warnings": list(warnings),
        "exit_code": FAILED if state == "failed" else DONE,
    }
