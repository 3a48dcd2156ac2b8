"""Reports on many videos on one page, as one table and as one JSON document."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from iamsb_core.report import templates
from iamsb_core.report.evidence import LANES, NOUNS
from iamsb_core.report.exports.tables import harmless
from iamsb_core.report.headline import clock, visible
from iamsb_core.report.write import HTML_FILE, POSTER_FILE

FORMAT = "iamsb-summary"
FORMAT_VERSION = 1
_COLUMNS = (
    "video", "state", "decision", "clip_score", "duration_seconds", "num_audio", "num_visual", "num_fused",
    "audio", "visual", "fused", "num_warnings", "report", "error",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class OverviewRow:
    """One video, and what was found in it."""

    video: Path
    state: Literal["done", "failed"]
    decision: str
    clip_score: float | None
    """None where the video could not be examined"""
    duration_seconds: float
    segments: Mapping[str, Sequence[tuple[float, float, float]]]
    """shown segments of each lane: start seconds, end seconds, score"""
    warnings: tuple[str, ...]
    report: Path | None
    """the report's folder"""
    error: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Where the overview lies."""

    json: Path
    csv: Path
    html: Path


def write_overview(folder: Path, rows: Sequence[OverviewRow], *, model: str, created: datetime) -> Overview:
    """Write summary.json, summary.csv and index.html into the folder (made where it is missing)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Overview(json=folder / "summary.json", csv=folder / "summary.csv", html=folder / "index.html")
    data = summary_document(folder, rows, model=model, created=created)
    _replace(made.json, json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _replace(made.csv, summary_csv(data))
    _replace(made.html, render_overview(data, {str(row.video): _poster(row) for row in rows}))
    return made


def summary_document(folder: Path, rows: Sequence[OverviewRow], *, model: str, created: datetime) -> dict[str, Any]:
    """The overview as JSON data; `report` is relative to the folder where that is possible."""
    done = [row for row in rows if row.state == "done"]
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "created": created.isoformat(timespec="seconds"),
        "model": model,
        "counts": {
            "videos": len(rows),
            "examined": len(done),
            "failed": len(rows) - len(done),
            "decisions": {name: sum(row.decision == name for row in done) for name in sorted(_decisions(done))},
        },
        "videos": [_row_document(folder, row) for row in rows],
    }


def _decisions(rows: Sequence[OverviewRow]) -> set[str]:
    return {row.decision for row in rows}


def _row_document(folder: Path, row: OverviewRow) -> dict[str, Any]:
    return {
        "video": _readable(str(row.video)),
        "state": row.state,
        "decision": row.decision or None,
        "clip_score": row.clip_score,
        "duration_seconds": row.duration_seconds or None,
        "segments": {lane: [list(each) for each in row.segments[lane]] for lane in LANES},
        "warnings": list(row.warnings),
        "report": None if row.report is None else _readable(Path(os.path.relpath(row.report, folder)).as_posix()),
        "error": row.error or None,
    }


def _readable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def summary_csv(data: Mapping[str, Any]) -> str:
    """A header, then one row for each video; the segments of a lane as `2.3100-2.9400 (0.93); ...`."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for row in data["videos"]:
        counts = [len(row["segments"][lane]) for lane in LANES]
        lists = ["; ".join(f"{a:.4f}-{b:.4f} ({s:.2f})" for a, b, s in row["segments"][lane]) for lane in LANES]
        facts = [row["state"], row["decision"], row["clip_score"], row["duration_seconds"]]
        ends = [len(row["warnings"]), row["report"], row["error"]]
        fields = [visible(row["video"]), *facts, *counts, *lists, *ends]
        writer.writerow(["" if field is None else harmless(str(field)) for field in fields])
    return text.getvalue()


def render_overview(data: Mapping[str, Any], posters: Mapping[str, str | None]) -> str:
    """The page: a table that sorts, with a picture and a small time line for each video; no other file is loaded.

    posters: data URIs of pictures by the video's path.
    """
    script, style = templates.assets("overview.js"), templates.assets("overview.css")
    return (
        templates.environment()
        .get_template("overview.html.jinja")
        .render(
            data=data,
            rows=[_view(row, posters.get(row["video"])) for row in data["videos"]],
            style=style,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        )
    )


def _view(row: Mapping[str, Any], poster: str | None) -> dict[str, Any]:
    """What the template shows of a video."""
    duration_seconds = row["duration_seconds"] or 0.0
    lanes = [
        {"name": lane, "bars": [_bar(each, duration_seconds) for each in row["segments"][lane]]}
        for lane in ("audio", "visual")
    ]
    counts = [f"{len(row['segments'][lane])} in the {NOUNS[lane]}" for lane in ("audio", "visual")]
    return {
        **row,
        "name": visible(Path(row["video"]).name),
        "place": visible(str(Path(row["video"]).parent)),
        "href": None if row["report"] is None else quote(f"{row['report']}/{HTML_FILE}"),
        "poster": poster,
        "duration": clock(duration_seconds) if duration_seconds else "",
        "lanes": lanes,
        "spoken": f"Segments: {' and '.join(counts)}",
        "num_segments": sum(len(row["segments"][lane]) for lane in ("audio", "visual")),
        "kind": "failed" if row["state"] == "failed" else row["decision"],
    }


def _bar(segment: Sequence[float], duration_seconds: float) -> dict[str, float]:
    start, end, score = segment
    left = 100.0 * start / max(duration_seconds, 1e-9)
    return {"left": round(left, 3), "width": round(max(100.0 * end / max(duration_seconds, 1e-9) - left, 0.5), 3),
            "score": score}  # fmt: skip


def _poster(row: OverviewRow) -> str | None:
    path = None if row.report is None else row.report / POSTER_FILE
    if path is None or not path.is_file():
        return None
    return "data:image/jpeg;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _replace(path: Path, text: str) -> None:
    """Write beside the place, then move there."""
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        staged.write_bytes(text.encode("utf-8", "backslashreplace"))
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
