"""The report's files: written beside their place, then moved there, so that no reader meets half a report."""

from __future__ import annotations

import json
import logging
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iamsb_core.media.clip import DecodedClip
from iamsb_core.report.evidence import Report, document
from iamsb_core.report.exports import export
from iamsb_core.report.html import render_html

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report lies."""

    json: Path
    html: Path
    vtt: Path


_ONE_LINE = ("command", "proposals", "curves")


def report_json(report: Report) -> str:
    """The report's JSON document as text; the long lists of numbers take one line each."""
    parts = [f" {json.dumps(name)}: {_part(name, value)}" for name, value in document(report).items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _part(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=None if name in _ONE_LINE else 1)
    return text.replace("\n", "\n ")


def write_report(folder: Path, report: Report, clip: DecodedClip) -> ReportFiles:
    """Write report.html, report.vtt and, last, report.json into the folder (made where it is missing).

    Where report.json is, the other two are of the same report. Files of an earlier report are replaced; where
    writing fails they stay as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "report.html": render_html(report, clip),
        "report.vtt": export(report, "vtt"),
        "report.json": report_json(report),
    }
    staged = {name: folder / f".{name}.{uuid.uuid4().hex}.part" for name in texts}
    try:
        for name, path in staged.items():
            _write(path, texts[name])
        (folder / "report.json").unlink(missing_ok=True)
        for name, path in staged.items():
            path.replace(folder / name)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)
    log.info("report on %s: %s", report.media.name, folder)
    return ReportFiles(folder / "report.json", folder / "report.html", folder / "report.vtt")


def _write(path: Path, text: str) -> None:
    with path.open("xb") as file:
        file.write(text.encode("utf-8", "backslashreplace"))
        file.flush()
        os.fsync(file.fileno())
