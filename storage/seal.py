"""A sealed pack: its root `zarr.json` lists every other file with size and SHA-256, and carries its own digest.

The files also get the time of the commit as their modification time, so that a look at sizes and times (no reading)
finds what any ordinary write has damaged since. Rot that keeps both is found by the checksums of a read, or by a
full check.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from iamsb_core.digest import file_sha256
from storage.objects import ObjectPath, Place
from storage.places import file_sizes, sha256_of

METADATA_FILE = "zarr.json"
Files = dict[str, dict[str, Any]]
"""size and sha256 of every file of a pack but its root metadata, by path inside the pack"""

_BLANK = "0" * 64
_SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"')


def write_seal(pack: Path, attributes: dict[str, Any], committed_unix_seconds: int) -> None:
    """Write the pack's root metadata, last of all its files, and set the time of every file."""
    files = {
        str(path.relative_to(pack).as_posix()): {"size": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(pack.rglob("*"))
        if path.is_file() and path != pack / METADATA_FILE
    }
    attributes = {**attributes, "committed_unix_seconds": committed_unix_seconds, "files": files, "seal": _BLANK}
    node = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    blank = json.dumps(node, allow_nan=False).encode()
    seal = hashlib.sha256(blank).hexdigest().encode()
    (pack / METADATA_FILE).write_bytes(_SEAL.sub(b'"seal": "' + seal + b'"', blank))
    for name in (METADATA_FILE, *files):
        _stamp(pack / name, committed_unix_seconds)


def read_sealed(pack: Place) -> dict[str, Any]:
    """The attributes of the pack's root metadata. Raises ValueError where the bytes are not those that were sealed."""
    data = (pack / METADATA_FILE).read_bytes()
    found = _SEAL.findall(data)
    blank = _SEAL.sub(f'"seal": "{_BLANK}"'.encode(), data)
    if len(found) != 1 or hashlib.sha256(blank).hexdigest().encode() != found[0]:
        raise ValueError(f"{METADATA_FILE} does not match its own digest")
    attributes: dict[str, Any] = json.loads(data)["attributes"]
    return attributes


def full_check(pack: Place, files: Files) -> list[str]:
    """What is wrong with the pack's files, each one read whole; empty where all is as committed."""
    there = file_sizes(pack)
    problems = [f"{name} is missing" for name in sorted(files.keys() - there.keys())]
    problems += [f"{name} does not belong here" for name in sorted(there.keys() - files.keys() - {METADATA_FILE})]
    for name in sorted(files.keys() & there.keys()):
        if there[name] != files[name]["size"]:
            problems.append(f"{name} has {there[name]} bytes instead of {files[name]['size']}")
        elif sha256_of(pack / name) != files[name]["sha256"]:
            problems.append(f"{name} has other content than was committed")
    return problems


def quick_check(pack: Place, files: Files, committed_unix_seconds: int) -> list[str]:
    """As `full_check`, but only files whose modification time is not the commit's are read; no objects, ever."""
    if isinstance(pack, ObjectPath):
        return _check_sizes(pack, files)
    touched = []
    for name in (METADATA_FILE, *files):
        try:
            status = (pack / name).stat()
        except FileNotFoundError:
            return [f"{name} is missing"]
        if name in files and status.st_size != files[name]["size"]:
            return [f"{name} has {status.st_size} bytes instead of {files[name]['size']}"]
        if status.st_mtime_ns != committed_unix_seconds * 1_000_000_000:
            touched.append(name)
    wrong = [name for name in touched if not _is_as_committed(pack, name, files)]
    for name in set(touched) - set(wrong):  # copied without its times: whole, so set them for the next look
        _stamp(pack / name, committed_unix_seconds)
    return [f"{name} has other content than was committed" for name in wrong]


def _check_sizes(pack: ObjectPath, files: Files) -> list[str]:
    """Objects are written whole and never changed: that they are there, with their sizes, is all to look at."""
    there = pack.sizes()
    missing = [f"{name} is missing" for name in (METADATA_FILE, *files) if name not in there]
    return missing or [
        f"{name} has {there[name]} bytes instead of {file['size']}"
        for name, file in files.items()
        if there[name] != file["size"]
    ]


def _is_as_committed(pack: Path, name: str, files: Files) -> bool:
    if name in files:
        return bool(file_sha256(pack / name) == files[name]["sha256"])
    try:
        found: Files = read_sealed(pack)["files"]
    except ValueError:
        return False
    return found == files


def _stamp(path: Path, unix_seconds: int) -> None:
    try:
        os.utime(path, (unix_seconds, unix_seconds))
    except OSError:  # a store that is read-only here is hashed again at the next look
        return
