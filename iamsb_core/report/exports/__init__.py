"""A report in the formats that other people's tools open, each made from the report's JSON document."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iamsb_core.report.evidence import Report, document
from iamsb_core.report.exports.chapters import ffmetadata
from iamsb_core.report.exports.eaf import eaf
from iamsb_core.report.exports.edl import edl
from iamsb_core.report.exports.findings import Findings, read_findings
from iamsb_core.report.exports.srt import srt
from iamsb_core.report.exports.tables import audacity_labels, segments_csv
from iamsb_core.report.exports.textgrid import textgrid
from iamsb_core.report.exports.webvtt import webvtt

__all__ = ["ALL", "FORMATS", "ExportFormat", "export", "export_formats", "file_name"]

ALL = "all"


@dataclass(frozen=True)
class ExportFormat:
    """A format by its name."""

    name: str
    suffix: str
    """of the file, which is `report` otherwise"""
    opened_by: str
    write: Callable[[Findings], str]


FORMATS: Mapping[str, ExportFormat] = {
    each.name: each
    for each in (
        ExportFormat("vtt", ".vtt", "browsers and players (WebVTT)", webvtt),
        ExportFormat("srt", ".srt", "players (SubRip)", srt),
        ExportFormat("csv", ".csv", "spreadsheets", segments_csv),
        ExportFormat("eaf", ".eaf", "ELAN", eaf),
        ExportFormat("audacity", ".labels.txt", "Audacity (labels)", audacity_labels),
        ExportFormat("textgrid", ".TextGrid", "Praat", textgrid),
        ExportFormat("edl", ".edl", "editing programs (CMX 3600)", edl),
        ExportFormat("ffmetadata", ".ffmetadata", "FFmpeg (chapters)", ffmetadata),
    )
}


def export(report: Report | Mapping[str, Any], name: str) -> str:
    """A report, or its JSON document, in a format of `FORMATS`.

    Raises ValueError for an unknown format and for data that are no report of this version.
    """
    (chosen,) = export_formats([name])
    data = document(report) if isinstance(report, Report) else report
    return chosen.write(read_findings(data))


def export_formats(names: Iterable[str]) -> tuple[ExportFormat, ...]:
    """The formats of these names, each once and in the order of `FORMATS`; `all` is every one.

    Raises ValueError, with the nearest name, for any other.
    """
    asked = set(names)
    for name in sorted(asked - set(FORMATS) - {ALL}):
        near = difflib.get_close_matches(name, [*FORMATS, ALL], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no export format {name!r}; there are {', '.join(FORMATS)} and {ALL}{hint}")
    return tuple(each for each in FORMATS.values() if ALL in asked or each.name in asked)


def file_name(chosen: ExportFormat) -> str:
    """`report.srt`."""
    return Path("report").with_suffix(chosen.suffix).name
