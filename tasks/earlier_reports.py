"""Reports that need not be made again: those on the same bytes with the same model and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iamsb_core.digest import file_sha256
from iamsb_core.report.write import HTML_FILE, JSON_FILE

RECORD_FILE = ".examined.json"
"""beside a report: of which media and settings it is, and the digest of its JSON"""


def earlier_report(folder: Path, video: Path, settings: str) -> dict[str, Any] | None:
    """The document of the report in this folder, where it is whole and says what examining again would say."""
    record, document = _read(folder / RECORD_FILE), _read(folder / JSON_FILE)
    if record is None or document is None or not (folder / HTML_FILE).is_file():
        return None
    if record != {"settings": settings, "media": record.get("media"), "report": file_sha256(folder / JSON_FILE)}:
        return None
    try:
        return document if record["media"] == file_sha256(video) else None
    except OSError:
        return None


def remember_report(folder: Path, document: Mapping[str, Any], settings: str) -> None:
    """Say of the report in this folder what it was made from."""
    record = {
        "settings": settings,
        "media": document["media"]["sha256"],
        "report": file_sha256(folder / JSON_FILE),
    }
    (folder / RECORD_FILE).write_text(json.dumps(record) + "\n")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
