"""A copy of a live SQLite database that is of one moment, whoever writes to it meanwhile."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

_BUSY_SECONDS = 60.0


def copy_database(source: Path, target: Path) -> None:
    """Copy through SQLite's own backup interface, log and all, into one file without a log.

    `target` may be a database in use: what it held is replaced in one transaction. Raises ValueError where the source
    is no whole SQLite database.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    is_new = not target.exists()
    try:
        with contextlib.closing(open_read_only(source)) as old, contextlib.closing(_opened(target)) as new:
            old.backup(new)
            if is_new:  # nobody uses it yet, so it can be one file whatever the source is
                new.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        raise ValueError(f"cannot copy the database {source}: {error}") from error
    problem = damage_of(target)
    if problem is not None:
        raise ValueError(f"the copy of {source} is damaged ({problem}), and so is the database itself; see its backups")


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, and makes no database where there is none. Raises sqlite3.OperationalError."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


def damage_of(path: Path) -> str | None:
    """What is wrong with a database's pages; None where nothing is."""
    try:
        with contextlib.closing(open_read_only(path)) as connection:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if said == "ok" else said


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS)
