"""The feature store: features of frozen encoders by the digest of the media they were made from.

    <root>/v1/<encoder identity>/<pack digest>.zarr

A pack is an immutable Zarr v3 group with the clips of one extraction task. It is written in a private folder and
published in one step (`storage.places`: the root may be in object storage), so readers see all of it or none, a crash
leaves nothing but a folder that the next start sweeps, and of two writers of one pack the second finds its work done.
There is no other cache and no database: what is stored is what `missing` does not list.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from iamsb_core.data.source import LocatedClip, StoredTrack
from iamsb_core.encoders.base import EncoderSpec, StreamSpec
from iamsb_core.timeline import Segment
from storage.checkup import DamagedPack, VerifyReport, damaged_problems, drop_packs, verify_packs
from storage.clips import ClipEntry, ClipRecord
from storage.errors import DamagedFeaturesError
from storage.keys import checked_sha256, identity_folder, pack_folder
from storage.objects import Place, place_of
from storage.pack import Pack, load_records
from storage.pack_index import PackIndex
from storage.pack_writer import PackWriter, StoreDtype
from storage.places import identities, publish, staging_of, withdraw
from storage.shards import OpenShards
from storage.staging import staging_folder, sweep
from storage.store_format import check_format
from storage.stored_rows import located

log = logging.getLogger(__name__)

T = TypeVar("T")
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FeatureStore:
    """Features under one root: a folder, or a URL such as s3://bucket/prefix.

    Safe in threads; in other processes it opens the root again by itself. Raises ValueError for a store of an older
    or a newer format (`storage.store_format`).
    """

    def __init__(self, root: Place | str, *, dtype: StoreDtype = "float16", max_open_files: int = 128) -> None:
        self.root = place_of(root) if isinstance(root, str) else root
        if isinstance(self.root, Path):
            check_format(self.root)
        self._dtype, self._max_open_files = dtype, max_open_files
        self._staging = staging_of(self.root)
        self._lock = threading.Lock()
        self._indexes: dict[str, PackIndex] = {}
        self._shards = OpenShards(max_open_files)
        sweep(self._staging)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopened, (self.root, self._dtype, self._max_open_files))

    # ---- what is there

    def identities(self) -> list[str]:
        """Every encoder that has features here."""
        return identities(self.root)

    def missing(self, identity: str, sha256s: Iterable[str], *, retry_failed: bool = False) -> list[str]:
        """The clips that an extraction must work on, each once, in order.

        Clips in a damaged pack are missing. A clip that failed counts as done, unless retry_failed is set or the
        failure may have been the machine's fault (a time-out, too little memory, a crash).
        """
        return [
            sha256
            for sha256, place in self._places(identity, sha256s).items()
            if place is None or (place[0].statuses[place[1]] == "failed" and _retried(*place, retry_failed))
        ]

    def complete(self, identity: str, sha256s: Iterable[str]) -> bool:
        """Whether an extraction of these clips would find nothing to do. Reads no features."""
        return not self.missing(identity, sha256s)

    def packs(self, identity: str, sha256s: Iterable[str] | None = None) -> list[Pack]:
        """The whole packs of an encoder, or those that hold these clips, by digest."""
        if sha256s is None:
            packs = self._refreshed(identity).packs()
        else:
            packs = [place[0] for place in self._places(identity, sha256s).values() if place is not None]
        return [pack for _, pack in sorted({pack.digest: pack for pack in packs}.items())]

    def records(self, identity: str, sha256s: Iterable[str]) -> dict[str, ClipRecord]:
        """The table rows of those of the clips that are stored, by media digest."""
        tables: dict[str, list[ClipRecord]] = {}
        found = {}
        for sha256, place in self._places(identity, sha256s).items():
            if place is not None:
                pack, position = place
                if pack.digest not in tables:
                    tables[pack.digest] = load_records(pack.folder)
                found[sha256] = tables[pack.digest][position]
        return found

    def failures(self, identity: str, sha256s: Iterable[str] | None = None) -> list[ClipRecord]:
        """The clips that failed and have not been extracted since: all of the encoder's, or those of the list."""
        if sha256s is None:
            sha256s = {r.sha256 for pack in self._refreshed(identity).packs() for r in pack.troubled.values()}
        places = self._places(identity, sorted(sha256s)).values()
        return [pack.troubled[position] for pack, position in filter(None, places) if position in pack.troubled]

    # ---- reading and writing

    def read(self, identity: str, sha256: str, window: Segment | None = None) -> StoredTrack | None:
        """Features of a clip, whole or of the cells whose centre lies in the window; None: it has no such stream.

        Raises KeyError where it was never extracted, ValueError where it failed, DamagedFeaturesError.
        """

        def use(pack: Pack, position: int) -> StoredTrack | None:
            if not _has_features(pack, position):
                return None
            return StoredTrack(pack.read(position, window, self._shards), float(pack.duration_seconds[position]))

        return self._used(identity, sha256, use)

    def locate(self, identity: str, sha256: str) -> LocatedClip | None:
        """As `read` of the whole clip, but its numbers are read, and checked, when they are written into a batch.

        Writing them raises what `read` raises.
        """
        pack, position = self._stored(identity, sha256)
        if not _has_features(pack, position):
            return None

        def write_cells(name: str, cells: slice, out: NDArray[np.float32]) -> None:
            def use(pack: Pack, position: int) -> None:
                if not _has_features(pack, position):
                    raise KeyError(f"media {sha256[:12]} lost its features of encoder {identity[:12]} meanwhile")
                pack.write(name, position, cells, out, self._shards)

            self._used(identity, sha256, use)

        return LocatedClip(located(pack, position, write_cells), float(pack.duration_seconds[position]))

    def expect(self, identity: str, sha256s: Iterable[str]) -> None:
        """A hint that these clips are read soon: the disk begins, in the order of the files; none need be there."""
        index = self._index(identity)
        places = [index.find(checked_sha256(sha256, "a media digest")) for sha256 in sha256s]
        self._shards.will_need(span for pack, position in filter(None, places) for span in pack.spans(position))

    def _used(self, identity: str, sha256: str, use: Callable[[Pack, int], T]) -> T:
        """What comes of the clip's pack and its position in it; twice where the pack was dropped since it was found."""
        pack, position = self._stored(identity, sha256)
        try:
            return use(pack, position)
        except FileNotFoundError:  # and perhaps made again
            self._shards.forget(pack.folder)
            self._refreshed(identity)
            again, position = self._stored(identity, sha256)
            try:
                return use(again, position)
            except FileNotFoundError as error:
                raise DamagedFeaturesError(str(pack.folder), f"{error.filename} is missing") from error

    def commit(self, stream: StreamSpec, spec: EncoderSpec, clips: Iterable[ClipEntry]) -> str:
        """Store clips as one pack and return its digest. Takes them one by one, so a generator bounds the memory."""
        with self.writer(stream, spec) as writer:
            for entry in clips:
                writer.add(entry)
        if not writer.digest:
            raise ValueError("a feature pack needs at least one clip, got none")
        return writer.digest

    @contextlib.contextmanager
    def writer(self, stream: StreamSpec, spec: EncoderSpec) -> Iterator[PackWriter]:
        """A pack to fill, committed when the block ends without an error and with at least one clip.

        Raises OSError, with the store as it was, where the disk is full.
        """
        try:
            with staging_folder(self._staging) as private:
                writer = PackWriter(private / "pack.zarr", stream, spec, self._dtype)
                yield writer
                if writer.num_clips:
                    digest = writer.finish()
                    self._publish(writer.folder, pack_folder(self.root, spec.identity, digest))
        except OSError as error:
            if error.errno in _FULL:
                message = f"no room for features in {self.root}; nothing was changed; free space or move the store"
                raise OSError(error.errno, message) from error
            if error.errno in _READ_ONLY and str(error.filename).startswith(str(self.root)):
                message = f"the feature store {self.root} is read-only; nothing was changed; make it writable"
                raise PermissionError(error.errno, message) from error
            raise

    def _publish(self, source: Path, target: Place) -> None:
        while not publish(source, target):
            problems = damaged_problems(target)
            if not problems:
                log.info("feature pack %s is stored already", target.name)
                return
            log.warning("replacing damaged feature pack %s: %s", target, problems[0])
            withdraw(target, self._staging)

    # ---- health

    def verify(self, identity: str | None = None, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
        """Read every byte of every pack (of one encoder, or all) and report the damaged ones."""
        chosen = self.identities() if identity is None else [identity]
        return verify_packs([identity_folder(self.root, one) for one in chosen], progress)

    def repair(self, identity: str | None = None) -> tuple[DamagedPack, ...]:
        """Remove the damaged packs, so that the next extraction rebuilds exactly their clips; returns them."""
        damaged = self.verify(identity).damaged
        drop_packs(damaged, self._staging)
        for pack in damaged:
            self._shards.forget(pack.folder)
        return damaged

    # ---- the index

    def _refreshed(self, identity: str) -> PackIndex:
        index = self._index(identity)
        index.refresh()
        return index

    def _index(self, identity: str) -> PackIndex:
        with self._lock:
            if identity not in self._indexes:
                self._indexes[identity] = PackIndex(identity_folder(self.root, identity))
            return self._indexes[identity]

    def _stored(self, identity: str, sha256: str) -> tuple[Pack, int]:
        index = self._index(identity)
        place = index.find(checked_sha256(sha256, "a media digest"))
        if place is None:
            index.refresh()
            place = index.find(sha256)
        if place is None:
            raise KeyError(
                f"media {sha256[:12]} has no features of encoder {identity[:12]} in {self.root}; extract it first"
            )
        return place

    def _places(self, identity: str, sha256s: Iterable[str]) -> dict[str, tuple[Pack, int] | None]:
        """Where each clip lies, after a look at the files of the packs concerned."""
        wanted = [checked_sha256(sha256, "a media digest") for sha256 in dict.fromkeys(sha256s)]
        index = self._refreshed(identity)
        while True:
            places = {sha256: index.find(sha256) for sha256 in wanted}
            packs = {place[0].digest: place[0] for place in places.values() if place is not None}
            if not index.drop_damaged(packs.values()):
                return places


@functools.lru_cache(maxsize=8)
def open_store(root: Place, dtype: StoreDtype = "float16") -> FeatureStore:
    """The one store of this process for a root, so that task after task finds its index built."""
    return FeatureStore(root, dtype=dtype)


def _has_features(pack: Pack, position: int) -> bool:
    """False for a clip without such a stream. Raises ValueError for one that failed."""
    if pack.statuses[position] == "failed":
        record = pack.troubled[position]
        raise ValueError(
            f"{record.video_id or record.sha256[:12]} has no features, its extraction failed ({record.kind}): "
            f"{record.reason}; leave it out, or mend the file and extract again"
        )
    return pack.statuses[position] == "ok"


def _retried(pack: Pack, position: int, retry_failed: bool) -> bool:
    return retry_failed or pack.troubled[position].is_retried


def _reopened(root: Place, dtype: StoreDtype, max_open_files: int) -> FeatureStore:
    return FeatureStore(root, dtype=dtype, max_open_files=max_open_files)
