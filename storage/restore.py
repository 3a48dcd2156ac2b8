"""Make a home again from a backup: checked whole before anything is written, and put into place in one rename.

Where the home's folder is there already, as an empty volume is, its files and folders get their names one by one, the
database of models last.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
import uuid
from pathlib import Path, PurePosixPath

from iamsb_core.configuration import parse
from iamsb_core.digest import file_sha256
from storage.backup import CONTENT_FOLDER, FORMAT, RECORD_FILE, BackupRecord, files_below
from storage.home import Home
from storage.staging import fsync_path, fsync_tree

log = logging.getLogger(__name__)

_DATABASE = "mlflow.db"
_PLACES = ("artifact_location", "artifact_uri", "source", "storage_location")
"""columns in which MLflow notes where files lie"""


def read_backup(folder: Path) -> BackupRecord:
    """What a backup says of itself. Raises ValueError where it is none, or of another format."""
    path = folder / RECORD_FILE
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        message = f"{folder} is no backup: it has no {RECORD_FILE}; name a folder that `iamsb backup` wrote"
        raise ValueError(message) from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); use another backup") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f"{folder} has the format {found!r}, and this software reads {FORMAT!r}; use the other release"
        )
    return parse(BackupRecord, data, where=str(path))


def problems_of(folder: Path, record: BackupRecord) -> list[str]:
    """What is not as it was backed up, every byte read; empty where all is."""
    content = folder / CONTENT_FOLDER
    there = {path.relative_to(content).as_posix() for path in files_below(content)}
    problems = [f"{name} is missing" for name in sorted(record.files.keys() - there)]
    problems += [f"{name} does not belong there" for name in sorted(there - record.files.keys())]
    for name in sorted(record.files.keys() & there):
        known, path = record.files[name], content / name
        if path.stat().st_size != known.size_bytes or file_sha256(path) != known.sha256:
            problems.append(f"{name} has other content")
    return problems


def restore(folder: Path, home: Home) -> BackupRecord:
    """Make the home again. Raises ValueError for a damaged backup, and where the home holds anything already."""
    folder = folder.expanduser().absolute()
    record = read_backup(folder)
    if home.root.exists() and any(home.root.iterdir()):
        raise ValueError(
            f"{home.root} is not empty; move it away first, or set IAMSB_HOME to a folder that is not there yet"
        )
    if problems := problems_of(folder, record):
        more = f", and {len(problems) - 1} more" if problems[1:] else ""
        raise ValueError(f"the backup {folder} is damaged: {problems[0]}{more}; nothing was restored, use another one")
    name = f".{home.root.name}.{uuid.uuid4().hex}.part"
    staged = home.root / name if home.root.exists() else home.root.with_name(name)
    staged.parent.mkdir(parents=True, exist_ok=True)
    try:
        _copy(folder / CONTENT_FOLDER, staged, record)
        if (staged / _DATABASE).is_file():
            _move_places(staged / _DATABASE, record.home, str(home.root))
        fsync_tree(staged)
        if home.root.exists():
            for path in sorted(staged.iterdir(), key=lambda path: (path.name == _DATABASE, path.name)):
                path.rename(home.root / path.name)
            fsync_path(home.root)
        else:
            staged.rename(home.root)
        fsync_path(home.root.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return record


def _copy(content: Path, target: Path, record: BackupRecord) -> None:
    for name in record.files:
        if ".." in PurePosixPath(name).parts or name.startswith("/"):
            raise ValueError(f"the backup names {name!r}, which leads out of the home; do not use it")
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(content / name, target / name)
    target.mkdir(exist_ok=True)


def _move_places(database: Path, old: str, new: str) -> None:
    """Where MLflow's files lie now, in every table that says so; it notes absolute paths, plain and as URIs."""
    if old == new:
        return
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        tables = [str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = {str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")')}
            for column in columns & set(_PLACES):
                for before, after in _spellings(old, new):
                    connection.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '  # noqa: S608 - MLflow's names
                        f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ?',
                        (after, len(before) + 1, before, len(before) + 1, before + "/"),
                    )


def _spellings(old: str, new: str) -> list[tuple[str, str]]:
    """A path as itself and as a URI, with what stands for it."""
    return [(old, new), (Path(old).as_uri(), Path(new).as_uri())]
