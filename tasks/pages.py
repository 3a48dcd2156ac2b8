"""A page and its numbers: written beside each other, and logged with a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from storage.staging import write_atomically
from storage.tracking import TrackedRun


def write_page_and_numbers(html: Path, page: str, numbers: Path, document: Any) -> None:
    """Both whole or not at all; document is JSON data."""
    write_atomically(html, page.encode())
    write_atomically(numbers, (json.dumps(document, indent=1) + "\n").encode())


def log_page_and_numbers(run: TrackedRun, html: Path, numbers: Path) -> None:
    """Both as artifacts of a run."""
    for path in (html, numbers):
        run.log_file(path)
