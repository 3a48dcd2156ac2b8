"""Write beside the place, then move there in one step: readers see everything or nothing.

A staging folder belongs to the process that holds the lock on its `owner.lock`. The kernel lets go of the lock when
the process dies, however it dies, so whoever opens the store next can tell what a crash left behind and sweep it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

_LOCK_NAME = "owner.lock"
_STALE_SECONDS = 24 * 3600.0
_UNLOCKABLE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


@contextlib.contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """A private, empty folder below parent, gone at the end whatever happens."""
    folder, lock = _owned_folder(parent)
    try:
        yield folder
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _owned_folder(parent: Path) -> tuple[Path, int]:
    while True:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            lock = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:  # a sweeper took the folder before it was ours
            continue
        if _try_lock(lock) is not False and (folder / _LOCK_NAME).exists():
            return folder, lock
        os.close(lock)


def _try_lock(descriptor: int) -> bool | None:
    """True: ours now; False: another's; None: this file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNLOCKABLE:
            return None
        raise
    return True


@contextlib.contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Only one process at a time is in here; waits for its turn. A dead process holds nothing."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive_now(lock_file: Path, owner: str) -> Iterator[str | None]:
    """As `exclusive`, but waits for nobody: None where the turn is ours, else what its owner said of itself."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if _try_lock(descriptor) is False:
            yield os.pread(descriptor, 1000, 0).decode(errors="replace")
            return
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, owner.encode(), 0)
        yield None
    finally:
        os.close(descriptor)


def sweep(parent: Path) -> int:
    """Remove the staging folders whose owner is dead; returns how many. Never touches one that is in use."""
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        return 0
    swept = sum(_sweep_one(folder) for folder in parent.iterdir() if folder.is_dir())
    if swept:
        log.info("removed %d unfinished writes left by a crash in %s", swept, parent)
    return swept


def _sweep_one(folder: Path) -> bool:
    try:
        age_seconds = time.time() - folder.stat().st_mtime
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        # either gone by now, or made a moment ago and not locked yet
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
                return True
        return False
    try:
        owned = _try_lock(lock)
        if owned or (owned is None and age_seconds > _STALE_SECONDS):
            shutil.rmtree(folder, ignore_errors=True)
            return True
        return False
    finally:
        os.close(lock)


def abandoned(parent: Path) -> list[Path]:
    """The staging folders that `sweep` would remove; nothing is changed."""
    folders = sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    return [folder for folder in folders if _owner(folder) == "dead"]


def in_use(parent: Path) -> bool:
    """Whether any process has a staging folder below parent."""
    return parent.is_dir() and any(_owner(path) == "alive" for path in parent.iterdir() if path.is_dir())


def _owner(folder: Path) -> Literal["alive", "dead", "gone"]:
    """Of a staging folder, by its lock; where locks or the file are missing, a day without a change is death."""
    try:
        age_seconds = time.time() - folder.stat().st_mtime
        lock = os.open(folder / _LOCK_NAME, os.O_RDWR)
    except FileNotFoundError:
        if not folder.is_dir():
            return "gone"
        return "dead" if time.time() - folder.stat().st_mtime > _STALE_SECONDS else "alive"
    except PermissionError:
        return "alive"
    try:
        owned = _try_lock(lock)
    finally:
        os.close(lock)
    return "dead" if owned or (owned is None and age_seconds > _STALE_SECONDS) else "alive"


def fsync_tree(folder: Path) -> None:
    """Force every file and folder of the tree onto the disk."""
    for path in [folder, *folder.rglob("*")]:
        fsync_path(path)


def fsync_path(path: Path) -> None:
    """Force one file or folder onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move_into_place(source: Path, target: Path) -> bool:
    """Rename a complete folder to its final name in one step; False where that name is taken already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    fsync_path(target.parent)
    return True


def discard(folder: Path, staging: Path) -> None:
    """Take a folder out of sight in one step, then delete it; no error where it is gone already."""
    with staging_folder(staging) as private:
        try:
            folder.rename(private / folder.name)
        except FileNotFoundError:
            return
        fsync_path(folder.parent)


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that readers see the old content or the new, never a part; durable: even if power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if durable:
        fsync_path(path.parent)
