"""Content identities: the digest of a configuration and the digest of a file."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_READ_BYTES = 1 << 20


def plain(value: Any) -> Any:
    """The value as JSON data: dataclasses become objects, tuples lists, enums and paths strings or numbers.

    Raises TypeError for anything whose order or text is not stable (a set, a float subclass, an object).
    """
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, enum.Enum)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no stable text; use dataclasses, tuples, numbers and strings")


def digest(value: Any) -> str:
    """SHA-256 (hex) of the value's canonical JSON: the identity of a configuration."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def digest_each(values: Iterable[Any]) -> str:
    """The digest of the list of these values, of which only one is held at a time."""
    sha256 = hashlib.sha256(b"[")
    for number, value in enumerate(values):
        sha256.update(b"," + _canonical(value) if number else _canonical(value))
    sha256.update(b"]")
    return sha256.hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in blocks of 1 MiB."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            sha256.update(block)
    return sha256.hexdigest()
