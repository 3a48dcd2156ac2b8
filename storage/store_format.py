"""The format of a feature store, which its folders state, and the steps from an older one to this one.

    <root>/v1/...    the format of today (`storage.keys.VERSION_FOLDER`)

A store of an older format is refused with the way out, `iamsb store migrate`; one of a newer format is refused, since
this software cannot know what it means. There has been one format so far, so `STEPS` is empty; whoever makes v2 adds
the step from v1 here, and the test with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.keys import PACK_SUFFIX, STAGING_FOLDER, VERSION_FOLDER, is_pack_name
from storage.staging import discard, fsync_tree, move_into_place, staging_folder

log = logging.getLogger(__name__)

CURRENT = int(VERSION_FOLDER.removeprefix("v"))
_FOLDER = re.compile(r"v(\d{1,6})")

Step = Callable[[Path, Path], None]
"""(folder of version N, empty folder): fills the second with version N + 1 of the first, `<identity>/<pack>.zarr`"""

STEPS: Mapping[int, Step] = {}
"""by the version that they begin with"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreMigration:
    """What became of a store."""

    found: tuple[int, ...]
    """versions that it held"""
    now: int
    num_packs: int
    """that were written anew"""


def formats(root: Path) -> tuple[int, ...]:
    """The versions that the store holds anything of, the oldest first."""
    if not root.is_dir():
        return ()
    found = {int(match[1]) for path in root.iterdir() if (match := _FOLDER.fullmatch(path.name)) and _holds(path)}
    return tuple(sorted(found))


def check_format(root: Path, current: int = CURRENT) -> None:
    """Raises ValueError for a store that holds features of another version than this software reads."""
    found = formats(root)
    if found and found[-1] > current:
        raise ValueError(
            f"the features in {root} have the format v{found[-1]}, and this software knows up to v{current}: a newer "
            "one made them; update this one, or name another IAMSB_HOME"
        )
    if found and found[0] < current:
        raise ValueError(
            f"the features in {root} have the format v{found[0]}, and this software reads v{current}; "
            "`iamsb store migrate` takes them over"
        )


def migrate(root: Path, *, steps: Mapping[int, Step] = STEPS, current: int = CURRENT) -> StoreMigration:
    """Bring a store to this format, one version after another; a kill in between leaves both, and the next run ends it.

    Raises ValueError for a newer one, and where a step is not known any more: nothing is changed then.
    """
    found = formats(root)
    if found and found[-1] > current:
        check_format(root, current)
    unknown = [version for version in found if version < current and version not in steps]
    if unknown:
        raise ValueError(
            f"this software has no step from format v{unknown[0]}; remove {root / f'v{unknown[0]}'} and extract again, "
            "or migrate with the release that came after it"
        )
    num_packs = 0
    for version in range(found[0] if found else current, current):
        if _holds(root / f"v{version}"):
            num_packs += _step(root, version, steps[version])
    return StoreMigration(found=found, now=current, num_packs=num_packs)


def _step(root: Path, version: int, step: Step) -> int:
    """Make the next version of one folder's packs, put them into place, and only then let go of the old ones."""
    old, new = root / f"v{version}", root / f"v{version + 1}"
    num_packs = 0
    with staging_folder(root / STAGING_FOLDER) as private:
        made = private / new.name
        made.mkdir()
        step(old, made)
        fsync_tree(made)
        for pack in sorted(made.glob(f"*/*{PACK_SUFFIX}")):
            num_packs += 1
            if not move_into_place(pack, new / pack.parent.name / pack.name):
                log.info("feature pack %s is stored already", pack.name)
    discard(old, root / STAGING_FOLDER)
    log.info("%d feature packs of v%d are v%d now", num_packs, version, version + 1)
    return num_packs


def _holds(folder: Path) -> bool:
    """Whether there is anything but empty folders; a step may keep its packs in files of any name."""
    if folder.name == VERSION_FOLDER:
        return folder.is_dir() and any(is_pack_name(path.name) for path in folder.glob("*/*"))
    return folder.is_dir() and any(path.is_file() for path in folder.rglob("*"))
