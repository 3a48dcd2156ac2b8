"""What the desk's pages are about: files, models, examinations, reports, corrections."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from flows.desk.examiner import Examiner
from flows.desk.models import Models
from iamsb_core.report.exports.findings import read_findings
from iamsb_core.report.write import HTML_FILE, JSON_FILE
from storage.corrections import Corrections
from storage.home import Home
from storage.keys import checked_sha256
from storage.uploads import Shelf, Upload

REPORTS_FOLDER = "reports"


class Desk:
    """One home's desk."""

    def __init__(
        self,
        home: Home,
        *,
        models: Sequence[str] = (),
        device: str = "cpu",
        most_bytes: int = 4 << 30,
        analyst: str = "",
    ) -> None:
        """models: URIs to offer beside the registry's. Raises ValueError for one that cannot be found."""
        self.models = Models(home, models)
        self.shelf = Shelf(home.desk)
        self.corrections = Corrections(home.desk)
        self.examiner = Examiner(home.desk / REPORTS_FOLDER, device)
        self.most_bytes = most_bytes
        self.analyst = analyst
        self._reports = home.desk / REPORTS_FOLDER

    def upload(self, sha256: str) -> Upload | None:
        """A file that the desk has; None for anything else, be it a digest or not."""
        try:
            return self.shelf.find(sha256)
        except ValueError:
            return None

    def report(self, sha256: str, key: str) -> Mapping[str, Any] | None:
        """The document of a report that this software reads."""
        return self.reports(sha256).get(key)

    def reports(self, sha256: str) -> dict[str, Mapping[str, Any]]:
        """The documents of all reports on a file, by the key of the model."""
        folders = sorted((self._reports / checked_sha256(sha256, "a file's digest")).glob("*"))
        found = {folder.name: _document(folder) for folder in folders}
        return {key: document for key, document in found.items() if document is not None}


def _document(folder: Path) -> Mapping[str, Any] | None:
    path = folder / JSON_FILE
    if not path.is_file() or not (folder / HTML_FILE).is_file():
        return None
    facts = path.stat()
    return _read(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _mtime_ns: int, _size_bytes: int) -> Mapping[str, Any] | None:
    """None for a report of other software, and for one that is damaged: it is examined again."""
    try:
        document = json.loads(path.read_bytes())
        read_findings(document)
    except (ValueError, AttributeError):
        return None
    return dict(document)
