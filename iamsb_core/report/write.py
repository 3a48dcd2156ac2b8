"""The report's files: written beside their place, then moved there, so that no reader meets half a report."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iamsb_core.media.clip import DecodedClip
from iamsb_core.report.drawing import poster
from iamsb_core.report.evidence import Report, document
from iamsb_core.report.exports import FORMATS, ExportFormat, export, export_formats, file_name
from iamsb_core.report.html import render_html

log = logging.getLogger(__name__)

JSON_FILE, HTML_FILE, POSTER_FILE = "report.json", "report.html", "report.jpg"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report lies."""

    json: Path
    html: Path
    vtt: Path
    poster: Path | None = None
    """a picture from the middle of the clip; None where no picture was examined"""
    exports: Mapping[str, Path] | None = None
    """by format, where any was asked for"""


_ONE_LINE = ("command", "proposals", "curves", "cells")


def report_json(report: Report) -> str:
    """The report's JSON document as text; the long lists of numbers take one line each."""
    parts = [f" {json.dumps(name)}: {_part(name, value)}" for name, value in document(report).items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _part(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=None if name in _ONE_LINE else 1)
    return text.replace("\n", "\n ")


def write_report(
    folder: Path, report: Report, clip: DecodedClip, exports: Iterable[str] = (), *, embed_video: bool = False
) -> ReportFiles:
    """Write report.html, report.vtt, a poster, exports and, last, report.json into the folder (made if missing).

    Where report.json is, the other files are of the same report. Files of an earlier report are replaced, or removed
    where this one has no such file; where writing fails they stay as they were. The page plays the media from where
    it lies, or with embed_video from its own bytes (up to 64 MiB). exports: names of formats, or `all`; raises
    ValueError for an unknown one, before anything is written.
    """
    formats = export_formats(exports)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        HTML_FILE: _encoded(render_html(report, clip, folder, embed_video=embed_video)),
        **_exported(report, formats),
        file_name(FORMATS["vtt"]): _encoded(export(report, "vtt")),
        **({} if clip.frames is None else {POSTER_FILE: poster(clip.frames)}),
        JSON_FILE: _encoded(report_json(report)),
    }
    stale = {POSTER_FILE, *map(file_name, FORMATS.values())} - set(contents)
    _replace(folder, contents, stale)
    log.info("report on %s: %s", report.media.name, folder)
    return ReportFiles(
        json=folder / JSON_FILE,
        html=folder / HTML_FILE,
        vtt=folder / file_name(FORMATS["vtt"]),
        poster=folder / POSTER_FILE if POSTER_FILE in contents else None,
        exports={each.name: folder / file_name(each) for each in formats} or None,
    )


def write_exports(folder: Path, report: Report | Mapping[str, Any], exports: Iterable[str]) -> dict[str, Path]:
    """Write a report, or its JSON document, in these formats, or `all`; the files by format.

    Raises ValueError for an unknown format and for data that are no report, before anything is written.
    """
    formats = export_formats(exports)
    contents = _exported(report, formats)
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder, contents, set())
    return {each.name: folder / file_name(each) for each in formats}


def _exported(report: Report | Mapping[str, Any], formats: Iterable[ExportFormat]) -> dict[str, bytes]:
    return {file_name(each): _encoded(export(report, each.name)) for each in formats}


def _replace(folder: Path, contents: Mapping[str, bytes], stale: set[str]) -> None:
    """Put files in their places, the report's JSON away first and back last; all or none where writing fails."""
    staged = {name: folder / f".{name}.{uuid.uuid4().hex}.part" for name in contents}
    try:
        for name, path in staged.items():
            _write(path, contents[name])
        for name in ({JSON_FILE} & set(contents)) | stale:
            (folder / name).unlink(missing_ok=True)
        for name, path in staged.items():
            path.replace(folder / name)
    finally:
        for path in staged.values():
            path.unlink(missing_ok=True)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
