"""Back up a home: a folder with everything that cannot be made again, of one moment, each file with its digest.

    backup.json          format, when, of which home, and the size and SHA-256 of every file
    home/mlflow.db       and the other databases, copied through SQLite's backup interface while they are in use
    home/artifacts/ ...  models, registry, tuned encoders, reports, predictions, the desk

The databases are copied first: what they name was written before, and nothing that they name is ever changed. With
`features`, the feature store too; checkpoints, logs and scratch never.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from iamsb_core.digest import file_sha256, plain
from storage.home import Home
from storage.keys import STAGING_FOLDER
from storage.sqlite_copy import copy_database
from storage.staging import fsync_path, fsync_tree

log = logging.getLogger(__name__)

FORMAT = "iamsb-backup-v1"
RECORD_FILE = "backup.json"
CONTENT_FOLDER = "home"
_DATABASES = ("mlflow.db", "media.sqlite", "prefect/prefect.db")
_FOLDERS = ("artifacts", "desk", "encoders", "predictions", "reports", "prefect/storage")
_FEATURES = "features"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUpFile:
    """A file of a backup."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRecord:
    """What backup.json says."""

    format: str = FORMAT
    created: str
    """UTC, ISO 8601"""
    software: str
    """the version of iamsb that wrote it"""
    home: str
    """where the home lay; MLflow notes its artifacts by absolute paths below it"""
    has_features: bool
    files: dict[str, BackedUpFile]
    """by path below `home/`"""

    @property
    def num_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())


def back_up(home: Home, out: Path, *, features: bool = False) -> BackupRecord:
    """Write a backup of the home into a new folder, which appears by one rename when it is whole.

    Everything may be running meanwhile. Raises ValueError where `out` exists or lies in the home, or there is no home.
    """
    out = out.expanduser().absolute()
    if not home.root.is_dir():
        raise ValueError(f"there is no home at {home.root} to back up; set IAMSB_HOME")
    if features and home.features_at:
        raise ValueError(f"the features are at {home.features_at} and not in the home; back that place up by itself")
    if out.exists():
        raise ValueError(f"{out} is there already; name a new folder for each backup, such as one with today's date")
    if home.root.resolve() in (out.parent.resolve(), *out.parent.resolve().parents):
        raise ValueError(f"{out} lies in the home itself; a backup belongs on another disk, or at least elsewhere")
    staged = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    try:
        record = _write(home, staged, features=features)
        fsync_tree(staged)
        staged.rename(out)
        fsync_path(out.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    log.info("backup of %s: %d files in %s", home.root, len(record.files), out)
    return record


def _write(home: Home, staged: Path, *, features: bool) -> BackupRecord:
    content = staged / CONTENT_FOLDER
    content.mkdir(parents=True)
    for name in _DATABASES:
        if (home.root / name).is_file():
            copy_database(home.root / name, content / name)
    for name in (*_FOLDERS, *((_FEATURES,) if features else ())):
        _copy_tree(home.root / name, content / name)
    record = BackupRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=version("iamsb"),
        home=str(home.root),
        has_features=features,
        files={
            path.relative_to(content).as_posix(): BackedUpFile(size_bytes=path.stat().st_size, sha256=file_sha256(path))
            for path in files_below(content)
        },
    )
    (staged / RECORD_FILE).write_text(json.dumps(plain(record), indent=1) + "\n")
    return record


def files_below(folder: Path) -> Iterator[Path]:
    """The regular files of a tree in order; links are neither followed nor given."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        found = (Path(parent, name) for name in sorted(names))
        yield from (path for path in found if path.is_file() and not path.is_symlink())


def _copy_tree(source: Path, target: Path) -> None:
    """The files with their times; what is not in its place yet, links, and what vanishes meanwhile are left out."""
    for path in files_below(source):
        inside = path.relative_to(source)
        if STAGING_FOLDER in inside.parts or (path.name.startswith(".") and path.name.endswith(".part")):
            continue
        (target / inside).parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(path, target / inside)
        except FileNotFoundError:
            log.info("%s was removed while the backup was made", path)
