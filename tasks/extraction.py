"""Inside one extraction task: decode in a process of its own, perturb where a view of robustness is wanted, encode,
commit; a bad video costs only itself."""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from typing import TypeGuard

from iamsb_core.encoders.base import EncodedTrack, Encoder, EncoderSpec
from iamsb_core.encoders.load import load_encoder
from iamsb_core.manifest import STREAMS, Modality, VideoRecord
from iamsb_core.media.clip import DecodedClip, DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.perturbations.spec import PerturbationSpec
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore, open_store
from storage.pack_writer import PackWriter
from storage.refs import feature_shard_ref
from tasks import progress
from tasks.decoders import decoders
from tasks.jobs import ShardJob, ShardResult
from tasks.logs import log_ids
from tasks.ordered import in_order
from tasks.policy import gpu_slot, num_decoders

log = logging.getLogger(__name__)

STAGE = "extract"
_GPU_BATCH_SECONDS = 240.0
"""of media that a GPU encodes at once; 0.9 GiB of pictures at 25 Hz and 224 pixels"""
_NUM_AHEAD = 2
"""what waits between two stages, above what their threads work on"""
_encoder_lock = threading.Lock()


@dataclass(frozen=True)
class _Work:
    """One video and the streams of it that the store lacks."""

    video: VideoRecord
    wanted: frozenset[Modality]


@dataclass(frozen=True)
class _Worked:
    """What was worked on of a shard, or of one video."""

    num_quarantined: int = 0
    """videos that cannot be used, in a stream or at all"""
    media_seconds: float = 0.0

    def __add__(self, other: _Worked) -> _Worked:
        return _Worked(self.num_quarantined + other.num_quarantined, self.media_seconds + other.media_seconds)


_Decoded = tuple[_Work, DecodedClip | DecodeError]
_Entries = list[tuple[Modality, ClipEntry]]


def extract(job: ShardJob) -> ShardResult:
    """Decode, encode and commit what the store lacks of the shard, one pack for each stream."""
    began = time.perf_counter()
    store = open_store(job.store, job.stored_as)
    works = list(_missing(job, store))
    num_there = len(job.shard.videos) - len(works)
    progress.advance(STAGE, num_there, cached=num_there)
    with log_ids(shard=job.digest[:12]):
        worked = _extract(job, store, works) if works else _Worked()
    try:
        features = feature_shard_ref(store, job.audio.identity, job.visual.identity, job.shard)
    except KeyError as error:
        raise ValueError("media files changed while they were read; run the extraction again") from error
    return ShardResult(
        features=features,
        num_decoded=len(works),
        num_quarantined=worked.num_quarantined,
        media_seconds=round(worked.media_seconds, 3),
        seconds=round(time.perf_counter() - began, 3),
    )


def which_complete(jobs: Sequence[ShardJob]) -> list[bool]:
    """Of each job of one extraction, whether the store holds, whole, everything that it would make.

    The store is looked at once for all of them.
    """
    if not jobs:
        return []
    store, retry_failed = open_store(jobs[0].store, jobs[0].stored_as), jobs[0].retry_failed
    sha256s = [sha256 for job in jobs for sha256 in job.sha256s]
    lacking = {
        sha256
        for spec in _specs(jobs[0]).values()
        for sha256 in store.missing(spec.identity, sha256s, retry_failed=retry_failed)
    }
    return [lacking.isdisjoint(job.sha256s) for job in jobs]


def _missing(job: ShardJob, store: FeatureStore) -> Iterator[_Work]:
    lacking = {
        modality: set(store.missing(spec.identity, job.sha256s, retry_failed=job.retry_failed))
        for modality, spec in _specs(job).items()
    }
    for video in job.shard.videos:
        wanted = frozenset(modality for modality in STREAMS if video.media_sha256 in lacking[modality])
        if wanted:
            yield _Work(video, wanted)


def _specs(job: ShardJob) -> dict[Modality, EncoderSpec]:
    return {Modality.AUDIO: job.audio, Modality.VISUAL: job.visual}


@functools.lru_cache(maxsize=4)
def _loaded(spec: EncoderSpec, device: str) -> Encoder:
    return load_encoder(spec, device)


def _encoders(job: ShardJob) -> dict[Modality, Encoder]:
    """The pair of this job, loaded once in a process whatever is done to the clips."""
    with _encoder_lock:
        return {modality: _loaded(spec.perturbed(()), job.device) for modality, spec in _specs(job).items()}


def _writer(store: FeatureStore, encoder: Encoder, spec: EncoderSpec) -> AbstractContextManager[PackWriter]:
    """A pack under the identity of the spec, which says more than the encoder's where clips are perturbed."""
    return store.writer(replace(encoder.stream, encoder_identity=spec.identity), spec)


def _extract(job: ShardJob, store: FeatureStore, works: list[_Work]) -> _Worked:
    """Decoding (in processes of its own), encoding and writing at the same time, in the order of the shard."""
    encoders = _encoders(job)
    with ExitStack() as stack:
        stack.enter_context(gpu_slot(job.device))
        decoded = stack.enter_context(closing(_decoded(job, works)))
        encoded = stack.enter_context(closing(_encoded(job, encoders, decoded)))
        writers: dict[Modality, PackWriter] = {
            modality: stack.enter_context(_writer(store, encoders[modality], spec))
            for modality, spec in _specs(job).items()
        }
        total = _Worked()
        for entries in encoded:
            for modality, entry in entries:
                writers[modality].add(entry)
            one = _worked([entry for _, entry in entries])
            progress.advance(STAGE, quarantined=one.num_quarantined, media_seconds=one.media_seconds)
            total += one
    return total


def _worked(entries: Sequence[ClipEntry]) -> _Worked:
    """Of one video."""
    records = [entry.record for entry in entries]
    is_bad = any(record.status == "failed" for record in records)
    return _Worked(int(is_bad), max((record.duration_seconds for record in records), default=0.0))


def _encoded(
    job: ShardJob, encoders: dict[Modality, Encoder], decoded: Iterable[_Decoded]
) -> Generator[_Entries, None, None]:
    """What the store is to keep of each video, in order: a GPU takes many clips at once, a core one after another."""
    on_gpu = job.device.startswith("cuda")
    batches = _batches(decoded, _GPU_BATCH_SECONDS if on_gpu else 0.0)
    num_threads = 1 if on_gpu else num_decoders()

    def encode(batch: Sequence[_Decoded]) -> list[_Entries]:
        return _entries(encoders, batch)

    with closing(in_order(encode, batches, num_threads=num_threads, num_ahead=num_threads, name="encode")) as done:
        for entries in done:
            yield from entries


def _batches(decoded: Iterable[_Decoded], batch_seconds: float) -> Iterator[list[_Decoded]]:
    """Runs of videos that last this long together, or a little longer; one video each where it is 0."""
    batch: list[_Decoded] = []
    seconds = 0.0
    for work, clip in decoded:
        batch.append((work, clip))
        seconds += 0.0 if isinstance(clip, DecodeError) else clip.duration_seconds
        if seconds >= batch_seconds:
            yield batch
            batch, seconds = [], 0.0
    if batch:
        yield batch


def _entries(encoders: dict[Modality, Encoder], batch: Sequence[_Decoded]) -> list[_Entries]:
    """The entries of each video's wanted streams."""
    found: list[_Entries] = [[] for _ in batch]
    for modality in STREAMS:
        wanted = [place for place, (work, _) in enumerate(batch) if modality in work.wanted]
        tracks = _tracks(encoders[modality], modality, [batch[place][1] for place in wanted])
        for place, track in zip(wanted, tracks, strict=True):
            work, clip = batch[place]
            with log_ids(clip=work.video.video_id):
                found[place].append((modality, _entry(work.video, clip, track)))
    return found


def _tracks(
    encoder: Encoder, modality: Modality, clips: Sequence[DecodedClip | DecodeError]
) -> list[EncodedTrack | ValueError | MemoryError | None]:
    """Features of each clip, or why it has none; None where it has no such stream, or was not decoded."""
    found: list[EncodedTrack | ValueError | MemoryError | None] = [None] * len(clips)
    there = {place: clip for place, clip in enumerate(clips) if _has(clip, modality)}
    try:
        tracks: Sequence[EncodedTrack | ValueError | MemoryError] = encoder.encode(list(there.values()))
    except (ValueError, MemoryError):
        tracks = [_encoded_alone(encoder, clip) for clip in there.values()]
    for place, track in zip(there, tracks, strict=True):
        found[place] = track
    return found


def _has(clip: DecodedClip | DecodeError, modality: Modality) -> TypeGuard[DecodedClip]:
    if isinstance(clip, DecodeError):
        return False
    return (clip.waveform if modality is Modality.AUDIO else clip.frames) is not None


def _encoded_alone(encoder: Encoder, clip: DecodedClip) -> EncodedTrack | ValueError | MemoryError:
    try:
        return encoder.encode([clip])[0]
    except ValueError as error:
        return error
    except MemoryError as error:
        return MemoryError(str(error))  # without what the failed pass held


def _entry(
    video: VideoRecord, clip: DecodedClip | DecodeError, track: EncodedTrack | ValueError | MemoryError | None
) -> ClipEntry:
    """What the store keeps of one video in one stream, under the digest of the bytes that were decoded."""
    hints = {"video_id": video.video_id, "path": video.path.as_posix()}
    if isinstance(clip, DecodeError):
        return ClipEntry.failed(video.media_sha256 or "", kind=clip.kind, reason=str(clip), **hints)
    sha256 = clip.probe.sha256
    hints |= {"reader": clip.reader}
    if track is None:
        return ClipEntry.absent(sha256, clip.duration_seconds, warnings=clip.warnings, **hints)
    if isinstance(track, ValueError | MemoryError):
        log.warning("%s cannot be encoded: %s", video.video_id, track)
        kind = "memory" if isinstance(track, MemoryError) else "encoder"
        return ClipEntry.failed(sha256, kind=kind, reason=str(track), **hints)
    return ClipEntry.encoded(sha256, track, clip.duration_seconds, warnings=clip.warnings, **hints)


def _decoded(job: ShardJob, works: Iterable[_Work]) -> Generator[_Decoded, None, None]:
    """The videos decoded, in order, by several processes; the next ones already while these are encoded."""
    number = num_decoders()
    num_ahead = number + _NUM_AHEAD
    idle: queue.SimpleQueue[MediaDecoder] = queue.SimpleQueue()

    def decode(work: _Work) -> _Decoded:
        decoder = idle.get()
        try:
            with log_ids(clip=work.video.video_id):
                return work, _decode(job, decoder, work)
        finally:
            idle.put(decoder)

    with decoders(number) as taken:
        for decoder in taken:
            idle.put(decoder)
        yield from in_order(decode, works, num_threads=number, num_ahead=num_ahead, name="decode")


def _decode(job: ShardJob, decoder: MediaDecoder, work: _Work) -> DecodedClip | DecodeError:
    view = job.visual.view if Modality.VISUAL in work.wanted else None
    try:
        clip = decoder.decode(job.shard.root / work.video.path, view, Modality.AUDIO in work.wanted)
        return _perturbed(clip, (*job.audio.perturbations, *job.visual.perturbations))
    except DecodeError as error:
        log.warning("%s is left out (%s): %s", work.video.video_id, error.kind, error)
        return error


def _perturbed(clip: DecodedClip, specs: Sequence[PerturbationSpec]) -> DecodedClip:
    if not specs:
        return clip
    from iamsb_core.media.perturbations.apply import perturbed  # noqa: PLC0415 - half a second to import, wanted by few

    return perturbed(clip, specs)
