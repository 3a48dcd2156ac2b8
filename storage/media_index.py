"""Digests of media files, remembered by path, size and modification time, so that a rerun need not read them again."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from iamsb_core.digest import file_sha256
from iamsb_core.manifest import VideoRecord

_BUSY_SECONDS = 60.0
_HASHED_PER_WRITE = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS media (
    path BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Videos with the digest of their bytes, and why the others have none."""

    videos: tuple[VideoRecord, ...]
    """all of them, in order; media_sha256 is None where the file could not be read"""
    unreadable: dict[str, str]
    """reason by video_id"""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    size_bytes: int
    mtime_ns: int


class MediaIndex:
    """A small database of digests; several processes may use it at once. Losing it costs time, nothing else."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def fingerprint(self, root: Path, videos: Sequence[VideoRecord], num_threads: int = 4) -> Fingerprints:
        """Fill in media_sha256, reading only files that are new or have changed. A missing file is a reason."""
        self._database.parent.mkdir(parents=True, exist_ok=True)
        found: list[VideoRecord] = []
        unreadable: dict[str, str] = {}
        for first in range(0, len(videos), _HASHED_PER_WRITE):
            part = videos[first : first + _HASHED_PER_WRITE]
            digests = self._digests([root / video.path for video in part], num_threads)
            for video, digest in zip(part, digests, strict=True):
                found.append(replace(video, media_sha256=None if isinstance(digest, OSError) else digest))
                if isinstance(digest, OSError):
                    unreadable[video.video_id] = f"cannot read {root / video.path}: {digest.strerror or digest}"
        return Fingerprints(tuple(found), unreadable)

    def _digests(self, paths: Sequence[Path], num_threads: int) -> list[str | OSError]:
        files = [_stat(path) for path in paths]
        present = [file for file in files if isinstance(file, _File)]
        known = self._known(present)
        unknown = [file for file in present if file not in known]
        with ThreadPoolExecutor(max_workers=num_threads) as pool:  # hashing lets go of the interpreter's lock
            hashed = dict(zip(unknown, pool.map(_hash, unknown), strict=True))
        self._remember({file: digest for file, digest in hashed.items() if isinstance(digest, str)})
        digests = {**known, **hashed}
        return [file if isinstance(file, OSError) else digests[file] for file in files]

    def _known(self, files: Sequence[_File]) -> dict[_File, str]:
        query = "SELECT sha256 FROM media WHERE path = ? AND size_bytes = ? AND mtime_ns = ?"
        known = {}
        with self._connected() as connection:
            for file in files:
                row = connection.execute(query, (os.fsencode(file.path), file.size_bytes, file.mtime_ns)).fetchone()
                if row is not None:
                    known[file] = str(row[0])
        return known

    def _remember(self, digests: dict[_File, str]) -> None:
        if not digests:
            return
        rows = [(os.fsencode(file.path), file.size_bytes, file.mtime_ns, digest) for file, digest in digests.items()]
        with self._connected() as connection:
            connection.executemany("INSERT OR REPLACE INTO media VALUES (?, ?, ?, ?)", rows)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, so that none outlives its thread or a fork."""
        connection = sqlite3.connect(self._database, timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(_SCHEMA)
            with connection:
                yield connection
        finally:
            connection.close()


def _stat(path: Path) -> _File | OSError:
    try:
        status = path.stat()
    except OSError as error:
        return error
    except ValueError as error:  # a null character in the path
        return OSError(errno.EINVAL, str(error))
    if not stat.S_ISREG(status.st_mode):
        return OSError(errno.EINVAL, "not a regular file")
    return _File(path.absolute(), status.st_size, status.st_mtime_ns)


def _hash(file: _File) -> str | OSError:
    try:
        return file_sha256(file.path)
    except OSError as error:
        return error
