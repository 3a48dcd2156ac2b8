"""Which pack holds which clip, for one encoder: built from the packs' own metadata, kept up with the folder."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from storage.errors import DamagedFeaturesError
from storage.keys import PACK_SUFFIX
from storage.objects import ObjectPath, Place
from storage.pack import Pack, load_pack
from storage.places import Stamp, stamps
from storage.seal import quick_check

log = logging.getLogger(__name__)

_POSITION_BITS = 32
_NUM_THREADS = 16
"""that read metadata from object storage, where each request takes long and many go at once"""


class PackIndex:
    """The clips of all whole packs in one folder. Damaged packs are left out. Safe in threads."""

    def __init__(self, folder: Place) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._stamps: dict[str, Stamp] = {}
        self._looked_at: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._packs: list[Pack | None] = []
        self._places: dict[bytes, int] = {}

    def refresh(self) -> None:
        """Take in packs that have appeared, forget those that are gone or were replaced."""
        with self._lock:
            found = stamps(self._folder)
            changed = [name for name, stamp in self._stamps.items() if found.get(name) != stamp]
            self._remove(changed)
            new = sorted(found.keys() - self._stamps.keys())
            for name, pack in zip(new, self._loaded(new), strict=True):
                self._stamps[name] = found[name]
                if pack is not None:
                    self._numbers[name] = len(self._packs)
                    self._packs.append(pack)
                    self._enter(pack, self._numbers[name])

    def find(self, sha256: str) -> tuple[Pack, int] | None:
        """The clip's pack and its position in it, as of the last refresh."""
        with self._lock:
            place = self._places.get(bytes.fromhex(sha256))
            if place is None:
                return None
            pack = self._packs[place >> _POSITION_BITS]
            assert pack is not None
            return pack, place & ((1 << _POSITION_BITS) - 1)

    def packs(self) -> list[Pack]:
        """Every whole pack."""
        with self._lock:
            return [pack for pack in self._packs if pack is not None]

    def drop_damaged(self, packs: Iterable[Pack]) -> bool:
        """Look at the packs' files (sizes and times) and leave out those that are damaged; True where one was.

        In object storage, where that takes a request and nothing changes what is written, each is looked at once.
        """
        damaged = []
        for pack in packs:
            if isinstance(pack.folder, ObjectPath):
                if str(pack.folder) in self._looked_at:
                    continue
                self._looked_at.add(str(pack.folder))
            if problems := quick_check(pack.folder, pack.files, pack.committed_unix_seconds):
                log.warning("feature pack %s is damaged and left out: %s", pack.folder, problems[0])
                damaged.append(pack.folder.name)
        with self._lock:
            self._remove(damaged, keep_stamps=True)
        return bool(damaged)

    def _loaded(self, names: list[str]) -> list[Pack | None]:
        if isinstance(self._folder, ObjectPath) and len(names) > 1:
            with ThreadPoolExecutor(_NUM_THREADS) as pool:
                return list(pool.map(self._load, names))
        return [self._load(name) for name in names]

    def _load(self, name: str) -> Pack | None:
        """None for a pack that cannot be used."""
        try:
            return load_pack(self._folder / name)
        except DamagedFeaturesError as error:
            log.warning("%s", error)
        except FileNotFoundError as error:
            log.warning("feature pack %s has no metadata and is left out: %s", name, error)
        return None

    def _enter(self, pack: Pack, number: int) -> None:
        for position, key in enumerate(pack.keys):
            place = number << _POSITION_BITS | position
            other = self._places.get(key)
            if other is None or self._rank(place) < self._rank(other):
                self._places[key] = place

    def _rank(self, place: int) -> tuple[bool, int, str]:
        """Of several packs that hold a clip: one where it did not fail, else the newest; the digest breaks ties."""
        pack = self._packs[place >> _POSITION_BITS]
        assert pack is not None
        failed = pack.statuses[place & ((1 << _POSITION_BITS) - 1)] == "failed"
        return failed, -pack.committed_unix_seconds if failed else 0, pack.digest

    def _remove(self, names: list[str], *, keep_stamps: bool = False) -> None:
        """Forget packs; a kept stamp says that this very folder is known and not to be loaded again."""
        gone = {self._numbers.pop(name) for name in names if name in self._numbers}
        for name in names:
            if not keep_stamps:
                self._stamps.pop(name, None)
        if not gone:
            return
        self._packs = [None if number in gone else pack for number, pack in enumerate(self._packs)]
        self._places = {}
        for number, pack in enumerate(self._packs):
            if pack is not None:
                self._enter(pack, number)


def pack_names(folder: Place) -> list[str]:
    """The packs of a folder, whole or damaged, as digests in order."""
    return [name.removesuffix(PACK_SUFFIX) for name in sorted(stamps(folder))]
