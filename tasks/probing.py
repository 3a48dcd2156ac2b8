"""Probing a dataset's media in parallel on Dask: on threads of this process, or on a cluster by its address.

Each batch of files is a Dask task with a decoding process of its own, so a file that crashes it costs itself. What was
found is remembered in the media index batch by batch: an interrupted check goes on where it stopped, and a file that
has not changed is never read again, here or by the extraction.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, LocalCluster, as_completed

from iamsb_core.datasets.containment import Enclosure
from iamsb_core.manifest import Manifest
from iamsb_core.media.clip import DecodeError, MediaProbe
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.limits import MediaLimits
from storage.media_index import MediaFile, MediaIndex, look_inside
from tasks import progress
from tasks.policy import DASK_VARIABLE

log = logging.getLogger(__name__)

STAGE = "probe"
_LARGEST_BATCH = 64
_BATCHES_PER_WORKER = 8
_TIMEOUT_SECONDS = 30
Probe = MediaProbe | DecodeError


def probe_dataset(
    manifest: Manifest,
    index: MediaIndex,
    *,
    num_threads: int | None = None,
    dask_address: str | None = None,
    limits: MediaLimits | None = None,
) -> dict[str, Probe]:
    """What each video's file holds, or why it cannot be used, by video_id.

    num_threads: files at a time in this process (every core if None); without effect where a cluster is named, by
    dask_address or IAMSB_DASK_ADDRESS, whose workers must see the files under the same paths.
    Raises ValueError where no scheduler answers at the address.
    """
    names, probes = _look_at_all(manifest)
    known = index.known_probes(list(names))
    unknown = [file for file in names if file not in known]
    progress.begin(STAGE, len(names))
    progress.advance(STAGE, len(known), f"{len(known):,} known" if known else "")
    found = dict(known)
    if unknown:
        address = dask_address or os.environ.get(DASK_VARIABLE)
        for part in _probe_all(unknown, limits or MediaLimits(), num_threads or os.cpu_count() or 1, address):
            index.remember_probes(part)
            found.update(part)
            progress.advance(STAGE, len(part))
    for file, probe in found.items():
        probes.update(dict.fromkeys(names[file], probe))
    return probes


def _look_at_all(manifest: Manifest) -> tuple[dict[MediaFile, list[str]], dict[str, Probe]]:
    """The files with the videos they are listed for, and why the other videos have none."""
    names: dict[MediaFile, list[str]] = defaultdict(list)
    absent: dict[str, Probe] = {}
    enclosure = Enclosure(manifest.root)
    for video in manifest.videos:
        file = look_inside(enclosure, manifest.root / video.path)
        if isinstance(file, MediaFile):
            names[file].append(video.video_id)
        else:
            kind = "missing" if isinstance(file, FileNotFoundError) else "unreadable"
            absent[video.video_id] = DecodeError(f"{manifest.root / video.path}: {file.strerror}", kind=kind)
    return names, absent


def _probe_all(
    files: Sequence[MediaFile], limits: MediaLimits, num_threads: int, address: str | None
) -> Iterator[dict[MediaFile, Probe]]:
    """The outcomes of each batch, as it ends."""
    with _cluster(num_threads, address) as client:
        num_workers = max(1, sum(client.nthreads().values()))
        size = max(1, min(_LARGEST_BATCH, len(files) // (num_workers * _BATCHES_PER_WORKER)))
        batches = [files[first : first + size] for first in range(0, len(files), size)]
        paths = [[str(file.path) for file in batch] for batch in batches]
        futures = client.map(probe_files, paths, limits=limits, pure=False)
        batch_of = {future.key: batch for future, batch in zip(futures, batches, strict=True)}
        ended = as_completed(futures, with_results=True)
        del futures  # so that a result that was taken does not stay in the cluster's memory
        for future, outcomes in ended:
            yield dict(zip(batch_of[future.key], outcomes, strict=True))


def probe_files(paths: Sequence[str], limits: MediaLimits) -> list[Probe]:
    """What each file holds, or why it cannot be used: the work of one Dask task."""
    found: list[Probe] = []
    with MediaDecoder(limits) as decoder:
        for path in paths:
            try:
                found.append(decoder.probe(Path(path)))
            except DecodeError as error:
                found.append(DecodeError(str(error), kind=error.kind))
    return found


@contextmanager
def _cluster(num_threads: int, address: str | None) -> Iterator[Client]:
    """A client of the cluster at the address, or of threads in this process."""
    if address is not None:
        try:
            client = Client(address, timeout=_TIMEOUT_SECONDS)
        except (OSError, TimeoutError) as error:
            raise ValueError(f"no Dask scheduler answers at {address} ({error}); start one, or leave it out") from None
        with client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=num_threads,
            processes=False,
            dashboard_address="127.0.0.1:0",  # any free port: two may probe at once, and this machine alone looks
            memory_limit=None,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
