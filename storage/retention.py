"""What of a home may go, with its size and the reason; finding it changes nothing, and deleting it asks again first.

Never touched: models and their runs, the registry, reports, predictions, the desk, features that a registered model
or a model folder needs, what a process holds a lock on, and (but for what a crash left) anything younger than the
given age. Features of datasets are never looked at by dataset: as long as their encoder is wanted they stay.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from storage.encoder_use import Standing, encoder_uses
from storage.home import Home
from storage.keys import STAGING_FOLDER, identity_folder
from storage.staging import abandoned, discard, exclusive_now, in_use
from storage.store_format import check_format

log = logging.getLogger(__name__)

Kind = Literal["staging", "checkpoints", "runs", "dead-features", "perturbed-features", "unused-features", "scratch"]
KINDS: tuple[Kind, ...] = get_args(Kind)
USUAL: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "unused-features")
"""what costs nobody anything but time; unused features may be those that the next model wants"""
_STANDINGS: dict[Standing, Kind] = {
    "dead": "dead-features",
    "perturbed": "perturbed-features",
    "unused": "unused-features",
}
_OUTCOME_FILE, _LOCK_FILE, _CHECKPOINTS = "outcome.json", "lock", "checkpoints"
"""of a training's folder, as tasks.fitting makes it"""
_DAY_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """A file or folder that nobody needs."""

    kind: Kind
    path: Path
    num_bytes: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What may go, and why some of what was asked for was not even looked at."""

    garbage: tuple[Garbage, ...]
    left: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        return sum(one.num_bytes for one in self.garbage)


def find_garbage(home: Home, *, kinds: Collection[Kind] = USUAL, days: float = 30.0) -> Findings:
    """Everything of these kinds that nothing has touched for so many days (what a crash left: at once)."""
    before = time.time() - days * _DAY_SECONDS
    found = [*_staging(home), *_trainings(home, before), *_scratch(home, before)]
    left: list[str] = []
    if set(kinds) & set(_STANDINGS.values()):
        found += _features(home, before, left)
    chosen = (one for one in found if one.kind in kinds)
    return Findings(garbage=tuple(sorted(chosen, key=lambda one: (KINDS.index(one.kind), one.path))), left=tuple(left))


def delete(home: Home, garbage: Collection[Garbage]) -> list[Garbage]:
    """Delete what was found, each in one step out of sight; what is in use by now stays. Returns what went."""
    gone = []
    for one in garbage:
        with _not_in_use(home, one) as free:
            if free and _remove(home, one):
                gone.append(one)
            else:
                log.warning("%s is in use or gone, and left alone", one.path)
    return gone


def _remove(home: Home, one: Garbage) -> bool:
    if one.kind == "staging":  # it lies out of sight already
        shutil.rmtree(one.path, ignore_errors=True)
        return not one.path.exists()
    try:
        discard(one.path, home.root / STAGING_FOLDER)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.rmtree(one.path)  # a link of the home leads to another disk
    return True


@contextlib.contextmanager
def _not_in_use(home: Home, one: Garbage) -> Iterator[bool]:
    """Whether it is there and may go now; where a lock tells, it is held meanwhile."""
    if not one.path.exists():
        yield False
    elif one.kind in ("checkpoints", "runs"):
        folder = one.path if one.kind == "runs" else one.path.parent
        with exclusive_now(folder / _LOCK_FILE, "iamsb gc") as other:
            yield other is None
    elif one.kind == "staging":
        yield one.path in abandoned(one.path.parent)
    elif one.kind == "scratch":
        yield True
    else:
        with exclusive_now(home.root / "retrain.lock", "iamsb gc") as other:
            free = other is None
        yield free and not in_use(home.features / STAGING_FOLDER)


def _staging(home: Home) -> Iterator[Garbage]:
    for parent in (home.root, home.features, home.desk):
        for folder in abandoned(parent / STAGING_FOLDER):
            yield _garbage("staging", folder, "left by a process that is gone")


def _trainings(home: Home, before: float) -> Iterator[Garbage]:
    for folder in _children(home.runs):
        if _newest(folder) > before or not folder.is_dir():
            continue
        checkpoints = folder / _CHECKPOINTS
        if not (folder / _OUTCOME_FILE).is_file():
            yield _garbage("runs", folder, "a training that was never finished, and not touched since")
        elif checkpoints.is_dir():
            yield _garbage("checkpoints", checkpoints, "the training is finished and its model kept")


def _scratch(home: Home, before: float) -> Iterator[Garbage]:
    for parent in _children(home.work):
        for path in _children(parent) if parent.is_dir() else ():
            if _newest(path) <= before:
                yield _garbage("scratch", path, f"scratch of {parent.name}, made again when it is wanted")


def _features(home: Home, before: float, left: list[str]) -> Iterator[Garbage]:
    """Of encoders that no model needs; nothing where that cannot be told."""
    if home.features_at:
        left.append(f"features: they are at {home.features_at}, which the models of other homes may need too")
        return
    if in_use(home.features / STAGING_FOLDER):
        left.append("features: an extraction is at work; try again when it has ended")
        return
    check_format(home.features)
    folders = _children(identity_folder(home.features, "0" * 64).parent)
    identities = [folder.name for folder in folders if len(folder.name) == 64 and _newest(folder) <= before]
    try:
        uses = encoder_uses(home, identities)
    except ValueError as error:
        left.append(f"features: {error}")
        return
    for use in uses:
        if use.standing in _STANDINGS:
            yield _garbage(_STANDINGS[use.standing], identity_folder(home.features, use.identity), use.why)


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _garbage(kind: Kind, path: Path, why: str) -> Garbage:
    return Garbage(kind=kind, path=path, num_bytes=_size(path), why=why)


def _size(path: Path) -> int:
    return sum(one.lstat().st_size for one in _files(path))


def _newest(path: Path) -> float:
    """When anything in it was last written, in Unix seconds."""
    return max((one.lstat().st_mtime for one in (path, *_files(path))), default=0.0)


def _files(path: Path) -> Iterator[Path]:
    """The files of a tree, links not followed; those that vanish meanwhile are left out."""
    if not path.is_dir() or path.is_symlink():
        if path.exists() and not path.is_symlink():
            yield path
        return
    for parent, _, names in os.walk(path):
        yield from (one for name in names if (one := Path(parent, name)).exists() and not one.is_symlink())
