"""Who is in which file: people must never stand in two splits."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

from iamsb_core.datasets.fields import load_json

log = logging.getLogger(__name__)

CATALOG = "CATALOG.csv"
_PATH_COLUMNS = ("file", "path")
_PERSON_COLUMNS = ("person", "identity")


def people_of(paths: tuple[Path, ...], media: Path, identities: Path | None = None) -> dict[Path, str]:
    """The person of each path (relative to `media`); a file that no list names is a person of its own.

    identities: a CSV with columns file (or path) and person (or identity), or a JSON object {file: person}; file is
    relative to the list's own folder, or to `media`. Without it a CATALOG.csv in `media` or its parent is used.
    Files that such a list marks as forged (column authenticity other than `real`) are left out of the result.
    Raises ValueError where the list is missing or has other columns.
    """
    table = identities if identities is not None else _catalog(media)
    if table is None:
        return {path: path.with_suffix("").as_posix() for path in paths}
    known = _read(table)
    people: dict[Path, str] = {}
    for path in paths:
        person = _look_up(known, path, media, table)
        if person != "":
            people[path] = path.with_suffix("").as_posix() if person is None else person
    log.info("%s names %d people in %d files", table, len(set(people.values())), len(people))
    return people


def _catalog(media: Path) -> Path | None:
    return next((folder / CATALOG for folder in (media, media.parent) if (folder / CATALOG).is_file()), None)


def _look_up(known: dict[str, str], path: Path, media: Path, table: Path) -> str | None:
    """The person; None where no line names the file; empty where its line says that it is forged."""
    full = (media / path).resolve()
    base = table.resolve().parent
    names = [path.as_posix()]
    if full.is_relative_to(base):
        names.insert(0, full.relative_to(base).as_posix())
    return next((known[name] for name in names if name in known), None)


def _read(table: Path) -> dict[str, str]:
    if not table.is_file():
        raise ValueError(f"{table} does not exist; give a CSV with columns file,person or a JSON object")
    if table.suffix.lower() == ".json":
        found = load_json(table)
        if not isinstance(found, dict) or not all(isinstance(person, str) and person for person in found.values()):
            raise ValueError(f"{table} must be a JSON object of file: person, both text")
        return found
    with table.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        columns = rows.fieldnames or ()
        file = next((name for name in _PATH_COLUMNS if name in columns), None)
        person = next((name for name in _PERSON_COLUMNS if name in columns), None)
        if file is None or person is None:
            raise ValueError(f"{table} needs the columns file and person, it has {', '.join(columns) or 'none'}")
        return {row[file]: _person(row, person) for row in rows}


def _person(row: dict[str, str], column: str) -> str:
    if (row.get("authenticity") or "real") != "real":
        return ""
    return row[column].strip() or row.get("file", row.get("path", ""))
