"""Places in object storage, by URL: `s3://bucket/prefix`, and `gs://`, `az://` likewise.

obstore reaches them (the extra `iamsb[s3]`): one compiled package without dependencies, which Zarr knows as a store of
its own too. It reads credentials, region and endpoint from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP, or the machine's role), and tries again by itself where a request fails.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

SCHEMES = ("s3", "gs", "az")
_READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, order=True)
class ObjectPath:
    """An object, or all objects whose names begin with this one's and a slash: as far as the store needs, a Path.

    Raises FileNotFoundError for an object that is not there, PermissionError, and OSError where the storage fails.
    """

    url: str

    def __post_init__(self) -> None:
        scheme, separator, rest = self.url.partition("://")
        if scheme not in SCHEMES or not separator or not rest.split("/")[0]:
            raise ValueError(
                f"object storage is named like s3://bucket/prefix ({', '.join(SCHEMES)}), got {self.url!r}"
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def parent(self) -> ObjectPath:
        return ObjectPath(self.url.rpartition("/")[0])

    def read_bytes(self) -> bytes:
        """The whole object."""
        with self._reached() as (store, key):
            return bytes(_obstore().get(store, key).bytes())

    def read_range(self, start: int, num_bytes: int) -> bytes:
        """A part of the object; shorter where it ends before."""
        with self._reached() as (store, key):
            return bytes(_obstore().get_range(store, key, start=start, length=num_bytes))

    def size(self) -> int:
        """Bytes of the object."""
        with self._reached() as (store, key):
            return int(_obstore().head(store, key)["size"])

    def sha256(self) -> str:
        """Digest of the object, read in parts."""
        found, position = hashlib.sha256(), 0
        for end in range(_READ_BYTES, self.size() + _READ_BYTES, _READ_BYTES):
            found.update(self.read_range(position, min(_READ_BYTES, self.size() - position)))
            position = end
        return found.hexdigest()

    def write(self, content: bytes | Path) -> None:
        """Put the bytes, or a file's, here."""
        with self._reached() as (store, key):
            _obstore().put(store, key, content)

    def create(self, content: bytes) -> bool:
        """Put the bytes here unless there is an object already (False), whoever else tries at the same time."""
        obstore = _obstore()
        with self._reached() as (store, key):
            try:
                obstore.put(store, key, content, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def sizes(self) -> dict[str, int]:
        """Bytes of every object below this one, by its name from here on."""
        with self._reached() as (store, key):
            found = [entry for part in _obstore().list(store, prefix=key) for entry in part]
        return {entry["path"].removeprefix(key).lstrip("/"): int(entry["size"]) for entry in found}

    def entries(self) -> tuple[dict[str, tuple[int, int]], list[str]]:
        """The objects right below this one with what tells each from another of its name, and the names of prefixes."""
        with self._reached() as (store, key):
            found = _obstore().list_with_delimiter(store, prefix=key)
        objects = {
            entry["path"].rpartition("/")[2]: (entry["size"], hash((entry["e_tag"], entry["last_modified"])))
            for entry in found["objects"]
        }
        return objects, [prefix.rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]]

    def delete(self) -> None:
        """Remove the object and all below it; no error where there is none."""
        names = [name for name in self.sizes() if name]
        with self._reached() as (store, key):
            for name in [key, *(f"{key}/{name}" for name in names)]:
                with contextlib.suppress(FileNotFoundError):
                    _obstore().delete(store, name)

    @contextlib.contextmanager
    def _reached(self) -> Iterator[tuple[Any, str]]:
        """The bucket and this one's name in it; errors as those of files, which callers know."""
        scheme, _, rest = self.url.partition("://")
        bucket, _, key = rest.partition("/")
        errors = _obstore().exceptions
        try:
            yield _bucket(f"{scheme}://{bucket}"), key
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such object", self.url) from error
        except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
            raise PermissionError(errno.EACCES, f"the storage refuses ({_first_line(error)})", self.url) from error
        except errors.BaseError as error:
            raise OSError(errno.EIO, f"the object storage fails ({_first_line(error)})", self.url) from error


Place = Path | ObjectPath
"""where features are: a folder, or a prefix in object storage"""
PlaceT = TypeVar("PlaceT", Path, ObjectPath, Place)


def place_of(text: str) -> Place:
    """A place by its URL or path. Raises ValueError for a URL of another kind."""
    return ObjectPath(text) if "://" in text else Path(text).expanduser().absolute()


def is_below(place: Place, other: Place) -> bool:
    """Whether the place is the other one, or lies below it."""
    if isinstance(place, ObjectPath) or isinstance(other, ObjectPath):
        return type(place) is type(other) and f"{place}/".startswith(f"{other}/")
    return place.is_relative_to(other)


@functools.lru_cache(maxsize=16)
def _bucket(url: str) -> Any:
    from obstore.store import from_url  # noqa: PLC0415 - optional

    return from_url(url)


@functools.cache
def _obstore() -> Any:
    try:
        import obstore  # noqa: PLC0415 - optional
        import obstore.exceptions  # noqa: PLC0415
    except ImportError:
        raise ValueError("object storage needs another package: pip install 'iamsb[s3]'") from None
    return obstore


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
