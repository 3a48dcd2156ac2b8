"""Digests and probes of media files, remembered by path, size and modification time, so that no rerun reads them again.

A probe brings its file's digest, so what `iamsb dataset check --probe` has read, an extraction need not hash.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from iamsb_core.datasets.containment import Enclosure, way_out
from iamsb_core.digest import file_sha256
from iamsb_core.manifest import VideoRecord
from iamsb_core.media.clip import DecodeError, MediaProbe

_BUSY_SECONDS = 60.0
_HASHED_PER_WRITE = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS media (
    path BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS probes (
    path BLOB PRIMARY KEY, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, document TEXT NOT NULL
) WITHOUT ROWID;
"""
_IN_THE_FILE = frozenset(
    ["not-media", "empty", "pointer-file", "truncated", "damaged", "no-streams", "unsupported-codec"]
)
"""kinds of failure that the bytes of the file decide; any other may be gone the next time"""


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Videos with the digest of their bytes, and why the others have none."""

    videos: tuple[VideoRecord, ...]
    """all of them, in order; media_sha256 is None where the file could not be read"""
    unreadable: dict[str, str]
    """reason by video_id"""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file as it was when it was looked at."""

    path: Path
    """absolute"""
    size_bytes: int
    mtime_ns: int


class MediaIndex:
    """A small database of digests; several processes may use it at once. Losing it costs time, nothing else."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def fingerprint(self, root: Path, videos: Sequence[VideoRecord], num_threads: int = 4) -> Fingerprints:
        """Fill in media_sha256, reading only files that are new or have changed.

        A file that is missing, or that a link leads out of the root to, is a reason.
        """
        enclosure = Enclosure(root)
        self._database.parent.mkdir(parents=True, exist_ok=True)
        found: list[VideoRecord] = []
        unreadable: dict[str, str] = {}
        for first in range(0, len(videos), _HASHED_PER_WRITE):
            part = videos[first : first + _HASHED_PER_WRITE]
            digests = self._digests([look_inside(enclosure, root / video.path) for video in part], num_threads)
            for video, digest in zip(part, digests, strict=True):
                found.append(replace(video, media_sha256=None if isinstance(digest, OSError) else digest))
                if isinstance(digest, OSError):
                    unreadable[video.video_id] = f"cannot read {root / video.path}: {digest.strerror or digest}"
        return Fingerprints(tuple(found), unreadable)

    def known_probes(self, files: Sequence[MediaFile]) -> dict[MediaFile, MediaProbe | DecodeError]:
        """What was found before in those of the files that have not changed since."""
        self._database.parent.mkdir(parents=True, exist_ok=True)
        found = {file: _probe(text) for file, text in self._rows("document", "probes", files).items()}
        return {file: probe for file, probe in found.items() if probe is not None}

    def remember_probes(self, probes: Mapping[MediaFile, MediaProbe | DecodeError]) -> None:
        """Keep what was found, and the digests with it. A failure that may pass (a timeout, a crash) is not kept."""
        kept = {file: probe for file, probe in probes.items() if _lasts(probe)}
        self._write("probes", {file: _document(probe) for file, probe in kept.items()})
        self._write("media", {file: probe.sha256 for file, probe in kept.items() if isinstance(probe, MediaProbe)})

    def _digests(self, files: Sequence[MediaFile | OSError], num_threads: int) -> list[str | OSError]:
        present = [file for file in files if isinstance(file, MediaFile)]
        known = self._rows("sha256", "media", present)
        unknown = [file for file in present if file not in known]
        with ThreadPoolExecutor(max_workers=num_threads) as pool:  # hashing lets go of the interpreter's lock
            hashed = dict(zip(unknown, pool.map(_hash, unknown), strict=True))
        self._write("media", {file: digest for file, digest in hashed.items() if isinstance(digest, str)})
        digests = {**known, **hashed}
        return [file if isinstance(file, OSError) else digests[file] for file in files]

    def _rows(self, column: str, table: str, files: Sequence[MediaFile]) -> dict[MediaFile, str]:
        query = f"SELECT {column} FROM {table} WHERE path = ? AND size_bytes = ? AND mtime_ns = ?"  # noqa: S608 - our names
        known = {}
        with self._connected() as connection:
            for file in files:
                row = connection.execute(query, (os.fsencode(file.path), file.size_bytes, file.mtime_ns)).fetchone()
                if row is not None:
                    known[file] = str(row[0])
        return known

    def _write(self, table: str, texts: Mapping[MediaFile, str]) -> None:
        if not texts:
            return
        rows = [(os.fsencode(file.path), file.size_bytes, file.mtime_ns, text) for file, text in texts.items()]
        with self._connected() as connection:
            connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", rows)  # noqa: S608 - our names

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction, so that none outlives its thread or a fork."""
        connection = sqlite3.connect(self._database, timeout=_BUSY_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            with connection:
                yield connection
        finally:
            connection.close()


def look_at(path: Path) -> MediaFile | OSError:
    """The file as it is now, or why it cannot be looked at."""
    try:
        status = path.stat()
    except OSError as error:
        return error
    except ValueError as error:  # a null character in the path
        return OSError(errno.EINVAL, str(error))
    if not stat.S_ISREG(status.st_mode):
        return OSError(errno.EINVAL, "not a regular file")
    return MediaFile(path.absolute(), status.st_size, status.st_mtime_ns)


def look_inside(enclosure: Enclosure, path: Path) -> MediaFile | OSError:
    """As `look_at`, but an error for what does not lie in the dataset's folder."""
    found = look_at(path)
    place = enclosure.outside(path) if isinstance(found, MediaFile) else None
    return found if place is None else OSError(errno.EPERM, way_out(place))


def _hash(file: MediaFile) -> str | OSError:
    try:
        return file_sha256(file.path)
    except OSError as error:
        return error


def _lasts(probe: MediaProbe | DecodeError) -> bool:
    return isinstance(probe, MediaProbe) or probe.kind in _IN_THE_FILE


def _document(probe: MediaProbe | DecodeError) -> str:
    if isinstance(probe, DecodeError):
        return json.dumps({"kind": probe.kind, "message": str(probe)})
    return json.dumps(asdict(probe))


def _probe(document: str) -> MediaProbe | DecodeError | None:
    """None for what another version wrote, with fewer or more fields than a probe has now."""
    found = json.loads(document)
    if found.keys() == {"kind", "message"}:
        return DecodeError(found["message"], kind=found["kind"])
    return MediaProbe(**found) if found.keys() == {field.name for field in fields(MediaProbe)} else None
