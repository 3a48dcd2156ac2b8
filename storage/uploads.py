"""Files that were given to the desk: each kept once, in a folder that is named by the digest of its bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.keys import STAGING_FOLDER, checked_sha256
from storage.staging import fsync_tree, move_into_place, staging_folder, sweep

MEDIA_FOLDER = "media"
_MOST_NAME_BYTES = 150
_SEPARATORS = re.compile(r"[/\\]")


class TooLargeError(ValueError):
    """More bytes than the desk takes."""

    @classmethod
    def above(cls, most_bytes: int) -> TooLargeError:
        """With the limit in words."""
        return cls(f"the file is larger than {most_bytes / 2**30:g} GiB, the most this desk takes")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that the desk keeps."""

    sha256: str
    path: Path
    size_bytes: int
    added: datetime

    @property
    def name(self) -> str:
        """The file's own name, as `safe_name` left it."""
        return self.path.name


def safe_name(given: str) -> str:
    """The last part of a path, without what a file name must not hold or cannot show; `video` where nothing is left.

    Controls, invisible direction marks and lone surrogates go, as do leading dots; at most 150 bytes, suffix included.
    """
    name = "".join(each for each in _SEPARATORS.split(given)[-1] if each.isprintable()).strip().lstrip(".").strip()
    stem, suffix = Path(name).stem, Path(name).suffix[:12]
    room = _MOST_NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore") + suffix or "video"


class Incoming:
    """A file on its way in."""

    def __init__(self, shelf: Shelf, private: Path, name: str, most_bytes: int) -> None:
        self._shelf, self._folder, self._most_bytes = shelf, private / "file", most_bytes
        self._folder.mkdir()
        self._path = self._folder / safe_name(name)
        self._file = self._path.open("xb")
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    def write(self, block: bytes) -> None:
        """Take the next bytes. Raises TooLargeError above the limit."""
        self.size_bytes += len(block)
        if self.size_bytes > self._most_bytes:
            raise TooLargeError.above(self._most_bytes)
        self._sha256.update(block)
        self._file.write(block)

    def close(self) -> None:
        """Let go of the file; what was not kept is removed with its folder."""
        self._file.close()

    def keep(self) -> Upload:
        """Put the file into its place, unless its bytes are there already. Raises ValueError where it is empty."""
        self._file.close()
        if not self.size_bytes:
            raise ValueError("the file is empty")
        sha256 = self._sha256.hexdigest()
        fsync_tree(self._folder)
        move_into_place(self._folder, self._shelf.folder / sha256)
        kept = self._shelf.find(sha256)
        assert kept is not None
        return kept


class Shelf:
    """The files of one desk."""

    def __init__(self, root: Path) -> None:
        self.folder = root / MEDIA_FOLDER
        self._staging = root / STAGING_FOLDER

    @contextmanager
    def receiving(self, name: str, *, most_bytes: int) -> Iterator[Incoming]:
        """Take in a file under this name; what is not kept by the end leaves no trace."""
        sweep(self._staging)
        with staging_folder(self._staging) as private:
            incoming = Incoming(self, private, name, most_bytes)
            try:
                yield incoming
            finally:
                incoming.close()

    def find(self, sha256: str) -> Upload | None:
        """The file of these bytes. Raises ValueError where the text is no SHA-256."""
        folder = self.folder / checked_sha256(sha256, "a file's digest")
        path = next((each for each in sorted(folder.glob("*")) if each.is_file()), None)
        if path is None:
            return None
        facts = path.stat()
        return Upload(sha256, path, facts.st_size, datetime.fromtimestamp(facts.st_mtime).astimezone())

    def all(self) -> tuple[Upload, ...]:
        """Every file, the newest first."""
        names = [each.name for each in self.folder.iterdir() if each.is_dir()] if self.folder.is_dir() else []
        found = [upload for upload in map(self.find, names) if upload is not None]
        return tuple(sorted(found, key=lambda upload: upload.added, reverse=True))
