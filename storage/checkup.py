"""Verify packs byte by byte, and drop the damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DamagedFeaturesError
from storage.keys import PACK_SUFFIX
from storage.objects import Place
from storage.pack import Pack, load_pack, misnamed
from storage.pack_index import pack_names
from storage.places import withdraw
from storage.seal import full_check


@dataclass(frozen=True, slots=True)
class DamagedPack:
    """A pack that is not as it was committed."""

    identity: str
    digest: str
    folder: Place
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of the whole store found."""

    num_packs: int
    num_clips: int
    num_bytes: int
    damaged: tuple[DamagedPack, ...]

    @property
    def is_sound(self) -> bool:
        return not self.damaged


def verify_packs(folders: Iterable[Place], progress: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Check every pack of these encoders' folders; progress is told (packs done, packs in all)."""
    packs = [folder / (digest + PACK_SUFFIX) for folder in folders for digest in pack_names(folder)]
    damaged = []
    num_clips = num_bytes = 0
    for num_done, folder in enumerate(packs, start=1):
        problems = damaged_problems(folder)
        if problems:
            damaged.append(DamagedPack(folder.parent.name, folder.stem, folder, tuple(problems)))
        else:
            pack = load_pack(folder)
            num_clips += len(pack.keys)
            num_bytes += _num_bytes(pack)
        if progress is not None:
            progress(num_done, len(packs))
    return VerifyReport(len(packs), num_clips, num_bytes, tuple(damaged))


def damaged_problems(folder: Place) -> list[str]:
    """What is wrong with one pack, every byte read; empty where it is as it was committed."""
    try:
        pack = load_pack(folder)
    except DamagedFeaturesError as error:
        return [error.problem]
    except FileNotFoundError as error:
        return [f"{Path(error.filename).name} is missing"]
    if misnamed(pack):
        return ["its name is not the digest of its content"]
    return full_check(pack.folder, pack.files)


def drop_packs(packs: Iterable[DamagedPack], staging: Path) -> None:
    """Remove packs, each out of sight in one step."""
    for pack in packs:
        withdraw(pack.folder, staging)


def _num_bytes(pack: Pack) -> int:
    return sum(int(file["size"]) for file in pack.files.values())
