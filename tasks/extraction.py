"""Inside one extraction task: decode in a process of its own, perturb where a view of robustness is wanted, encode,
commit; a bad video costs only itself."""

from __future__ import annotations

import functools
import logging
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from iamsb_core.encoders.base import Encoder, EncoderSpec
from iamsb_core.encoders.load import load_encoder
from iamsb_core.manifest import STREAMS, Modality, VideoRecord
from iamsb_core.media.clip import DecodedClip, DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.perturbations.apply import perturbed
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore, open_store
from storage.pack_writer import PackWriter
from storage.refs import feature_shard_ref
from tasks import progress
from tasks.jobs import ShardJob, ShardResult
from tasks.policy import gpu_slot

log = logging.getLogger(__name__)

STAGE = "extract"
_NUM_DECODED_AHEAD = 2
_encoder_lock = threading.Lock()


@dataclass(frozen=True)
class _Work:
    """One video and the streams of it that the store lacks."""

    video: VideoRecord
    wanted: frozenset[Modality]


def extract(job: ShardJob) -> ShardResult:
    """Decode, encode and commit what the store lacks of the shard, one pack for each stream."""
    began = time.perf_counter()
    store = open_store(job.store)
    works = list(_missing(job, store))
    progress.advance(STAGE, len(job.shard.videos) - len(works))
    if works:
        _extract(job, store, works)
    try:
        features = feature_shard_ref(store, job.audio.identity, job.visual.identity, job.shard)
    except KeyError as error:
        raise ValueError("media files changed while they were read; run the extraction again") from error
    return ShardResult(
        features=features,
        num_decoded=len(works),
        seconds=round(time.perf_counter() - began, 3),
    )


def is_complete(job: ShardJob) -> bool:
    """Whether the store holds, whole, everything that the job would make."""
    return not any(True for _ in _missing(job, open_store(job.store)))


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


def _extract(job: ShardJob, store: FeatureStore, works: list[_Work]) -> None:
    encoders = _encoders(job)
    with ExitStack() as stack:
        stack.enter_context(gpu_slot(job.device))
        decoder = stack.enter_context(MediaDecoder())
        writers: dict[Modality, PackWriter] = {
            modality: stack.enter_context(_writer(store, encoders[modality], spec))
            for modality, spec in _specs(job).items()
        }
        for work, clip in _decoded_ahead(job, decoder, works):
            for modality in sorted(work.wanted, key=lambda stream: stream.value):
                writers[modality].add(_entry(work.video, modality, encoders[modality], clip))
            progress.advance(STAGE)


def _entry(video: VideoRecord, modality: Modality, encoder: Encoder, clip: DecodedClip | DecodeError) -> ClipEntry:
    """What the store keeps of one video in one stream, under the digest of the bytes that were decoded."""
    sha256 = video.media_sha256 or "" if isinstance(clip, DecodeError) else clip.probe.sha256
    hints = {"video_id": video.video_id, "path": video.path.as_posix()}
    if isinstance(clip, DecodeError):
        return ClipEntry.failed(sha256, kind=clip.kind, reason=str(clip), **hints)
    hints |= {"reader": clip.reader}
    if (clip.waveform if modality is Modality.AUDIO else clip.frames) is None:
        return ClipEntry.absent(sha256, clip.duration_seconds, warnings=clip.warnings, **hints)
    try:
        track = encoder.encode([clip])[0]
    except ValueError as error:
        log.warning("%s cannot be encoded: %s", video.video_id, error)
        return ClipEntry.failed(sha256, kind="encoder", reason=str(error), **hints)
    return ClipEntry.encoded(sha256, track, clip.duration_seconds, warnings=clip.warnings, **hints)


def _decoded_ahead(
    job: ShardJob, decoder: MediaDecoder, works: Iterable[_Work]
) -> Iterator[tuple[_Work, DecodedClip | DecodeError]]:
    """The videos decoded, the next ones already while the caller encodes; at most two wait in memory."""
    ready: queue.Queue[tuple[_Work, DecodedClip | DecodeError] | BaseException | None]
    ready = queue.Queue(maxsize=_NUM_DECODED_AHEAD)
    stopped = threading.Event()

    def decode_all() -> None:
        try:
            for work in works:
                _offer(ready, (work, _decode(job, decoder, work)), stopped)
            _offer(ready, None, stopped)
        except BaseException as error:
            _offer(ready, error, stopped)

    thread = threading.Thread(target=decode_all, name="decode-ahead", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _offer(ready: queue.Queue[object], item: object, stopped: threading.Event) -> None:
    """Put, but give up when nobody takes any more."""
    while not stopped.is_set():
        try:
            return ready.put(item, timeout=0.1)
        except queue.Full:
            continue
    return None


def _decode(job: ShardJob, decoder: MediaDecoder, work: _Work) -> DecodedClip | DecodeError:
    view = job.visual.view if Modality.VISUAL in work.wanted else None
    try:
        clip = decoder.decode(job.shard.root / work.video.path, view, Modality.AUDIO in work.wanted)
        return perturbed(clip, (*job.audio.perturbations, *job.visual.perturbations))
    except DecodeError as error:
        log.warning("%s is left out (%s): %s", work.video.video_id, error.kind, error)
        return error
