"""`iamsb localize` and `export`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import DONE, FAILED, FORGED, Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.report import write_exports
from iamsb_core.report.exports import export_formats
from iamsb_core.report.write import JSON_FILE
from storage.home import Home

if TYPE_CHECKING:  # tasks import Prefect, which must wait for the server's address
    from tasks.reporting import Localized

_FORGED = "forged"


def localize(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    videos: list[Path],
    model: str,
    out: Path | None,
    recursive: bool,
    export: str,
    again: bool,
    false_alarms_per_hour: float,
    embed_video: bool,
    fail_on_forged: bool,
    device: str,
) -> dict[str, Any]:
    """Run the localisation flow; failed where a video could not be examined."""
    exports = _formats(export)
    if not false_alarms_per_hour > 0.0:
        raise UsageError(f"the target must be above 0 false alarms an hour, got {false_alarms_per_hour:g}")
    serve(orchestrator)
    from flows.localize import localize as flow  # noqa: PLC0415 - imports Prefect

    done = flow(
        videos,
        model,
        out,
        device,
        recursive=recursive,
        exports=exports,
        false_alarms_per_hour=false_alarms_per_hour,
        embed_video=embed_video,
        again=again,
    )
    _show(terminal, done, Home.current().reports if out is None else out)
    failed = any(one.state == "failed" for one in done)
    forged = fail_on_forged and any(one.decision == _FORGED for one in done)
    return {
        "failed": failed,
        "exit_code": FORGED if forged else FAILED if failed else DONE,
        "model": model,
        "videos": plain(done),
    }


def _formats(text: str) -> tuple[str, ...]:
    """The names between the commas. Raises UsageError for an unknown one."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    try:
        return tuple(each.name for each in export_formats(names))
    except ValueError as error:
        raise UsageError(str(error)) from None


def _show(terminal: Terminal, done: Sequence[Localized], out: Path) -> None:
    """One video in full; several as a table, each that failed in a line."""
    if len(done) == 1:
        show_localized(terminal, done[0])
        return
    rows = [
        (one.video.name, one.decision, f"{one.clip_score:.2f}", str(len(one.audio)), str(len(one.visual)), _note(one))
        for one in done
        if one.state == "done"
    ]
    if rows:
        terminal.table("", ("video", "decision", "score", "sound", "picture", ""), rows)
    for one in done:
        if one.state == "failed":
            terminal.say(one.error)
    counts = {
        "examined": sum(one.state == "done" and not one.reused for one in done),
        "examined before": sum(one.reused for one in done),
        "forged": sum(one.decision == _FORGED for one in done),
        "failed": sum(one.state == "failed" for one in done),
    }
    terminal.say(", ".join(f"{number} {what}" for what, number in counts.items() if number))
    terminal.say(f"index: {out / 'index.html'}")


def _note(one: Localized) -> str:
    return "examined before" if one.reused else ""


def show_localized(terminal: Terminal, one: Localized) -> None:
    """One video's result: the segments of each stream, and what is to be known about them."""
    if one.state == "failed":
        terminal.say(one.error)
        return
    terminal.say(f"{one.video}: {one.decision} ({one.clip_score:.2f})")
    for stream in ("audio", "visual"):
        for start, end, confidence in getattr(one, stream):
            terminal.say(f"  {stream:6} {start:8.3f} - {end:8.3f} s  {confidence:.2f}")
    for warning in one.warnings:
        terminal.say(f"  note: {warning}")
    if one.report_html is not None:
        terminal.say(f"  report: {one.report_html}{' (examined before)' if one.reused else ''}")


def export(
    terminal: Terminal, *, orchestrator: Orchestrator, report: Path, formats: str, out: Path | None
) -> dict[str, Any]:
    """Write a report in other formats."""
    del orchestrator
    names = _formats(formats)
    if not names:
        raise UsageError("name at least one format")
    path = report / JSON_FILE if report.is_dir() else report
    if not path.is_file():
        raise ValueError(f"no report {path}; `iamsb localize` writes one")
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} is no report: it holds {type(data).__name__}, not one JSON object")
    files = write_exports(path.parent if out is None else out, data, names)
    for name, file in files.items():
        terminal.say(f"{name}: {file}")
    return {"files": plain(files)}
