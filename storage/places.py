"""How packs appear and go in the two kinds of place: a folder on a disk, and object storage, which has no renames.

On a disk a pack is written beside its place and renamed into it. In object storage its files are put below a prefix
of the writer's own, and then one small object, the marker, is made under the pack's name, which only the first of two
writers can do; it says where the files are. Readers know the marker alone, so they see all of a pack or nothing.

    <root>/v1/<encoder identity>/<pack digest>.zarr                         the marker
    <root>/packs/<encoder identity>/<writer>/<pack digest>.zarr/zarr.json   the pack, a Zarr group
"""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from pathlib import Path

from iamsb_core.digest import file_sha256
from storage.keys import STAGING_FOLDER, VERSION_FOLDER, is_pack_name
from storage.objects import ObjectPath, Place, is_below
from storage.staging import discard, fsync_tree, move_into_place

log = logging.getLogger(__name__)

CONTENT_PREFIX = "packs"
Stamp = tuple[int, int]


def staging_of(root: Place) -> Path:
    """Where packs for this root are written before they are published: on its own disk, or a temporary folder."""
    if isinstance(root, Path):
        return root / STAGING_FOLDER
    return Path(tempfile.gettempdir()) / f"iamsb-staging-{os.getuid()}"


def identities(root: Place) -> list[str]:
    """Every encoder that has features at the root."""
    folder = root / VERSION_FOLDER
    if isinstance(folder, ObjectPath):
        return sorted(folder.entries()[1])
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def stamps(folder: Place) -> dict[str, Stamp]:
    """The packs of an encoder's folder, each with what tells it from another of its name that took its place."""
    if isinstance(folder, ObjectPath):
        return {name: stamp for name, stamp in folder.entries()[0].items() if is_pack_name(name)}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_pack_name(entry.name)]
    except FileNotFoundError:
        return {}
    found = {}
    for name in names:
        try:
            status = (folder / name).stat()
        except FileNotFoundError:
            continue
        found[name] = (status.st_ino, status.st_ctime_ns)
    return found


def content_of(pack: Place) -> Place:
    """Where the files of a pack are. Raises FileNotFoundError, and ValueError for a marker that is none."""
    if isinstance(pack, Path):
        return pack
    root = pack.parent.parent.parent
    where = root / pack.read_bytes().decode(errors="replace")
    if where.name != pack.name or not is_below(where, root / CONTENT_PREFIX):
        raise ValueError(f"the marker says {str(where)!r:.200}, which is no place of this pack")
    return where


def publish(source: Path, pack: Place) -> bool:
    """Give a complete local pack its name, in one step; False where that is taken already."""
    fsync_tree(source)
    if isinstance(pack, Path):
        return move_into_place(source, pack)
    root, identity = pack.parent.parent.parent, pack.parent.name
    if pack.name in stamps(pack.parent):
        return False
    content = root / CONTENT_PREFIX / identity / uuid.uuid4().hex / pack.name
    try:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            (content / path.relative_to(source).as_posix()).write(path)
        created = pack.create(content.url.removeprefix(f"{root.url}/").encode())
    except BaseException:
        content.delete()
        raise
    if not created:
        content.delete()
    return created


def withdraw(pack: Place, staging: Path) -> None:
    """Take a pack out of sight in one step, then delete it; no error where it is gone already."""
    if isinstance(pack, Path):
        discard(pack, staging)
        return
    try:
        content = content_of(pack)
    except (FileNotFoundError, ValueError):
        pack.delete()
        return
    pack.delete()
    if isinstance(content, ObjectPath):
        content.delete()


def file_sizes(pack: Place) -> dict[str, int]:
    """Bytes of every file of a pack's content, by path inside it."""
    if isinstance(pack, ObjectPath):
        return pack.sizes()
    return {path.relative_to(pack).as_posix(): path.lstat().st_size for path in pack.rglob("*") if not path.is_dir()}


def sha256_of(file: Place) -> str:
    """Digest of one file."""
    return file.sha256() if isinstance(file, ObjectPath) else file_sha256(file)
