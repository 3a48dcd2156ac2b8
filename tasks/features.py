"""Prefect tasks of the extraction."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import encoder_specs, resolve_spec
from iamsb_core.manifest import SPLITS, Split, VideoRecord, stream_name
from storage.feature_store import open_store
from storage.home import Home
from storage.media_index import MediaIndex
from storage.objects import Place
from tasks import extraction
from tasks.jobs import BadVideo, ShardJob, ShardResult, Stock
from tasks.policy import NUM_RETRIES, RETRY_DELAYS, RETRY_JITTER, ByContent, resolve_device, worth_retrying

_NUM_ROWS_SHOWN = 1000


@task(retries=NUM_RETRIES, retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=worth_retrying)
def take_stock(dataset: str, root: Path, home: Home, splits: tuple[Split, ...] = SPLITS) -> Stock:
    """Read a dataset's manifest and the digest of every media file in the splits."""
    manifest = read_dataset(dataset, root)
    manifest = replace(manifest, videos=tuple(video for video in manifest.videos if video.split in splits))
    if not manifest.videos:
        raise ValueError(f"{dataset} at {root} has no video in the splits {', '.join(splits)}; choose another")
    found = MediaIndex(home.media_index).fingerprint(manifest.root, manifest.videos)
    paths = {video.video_id: video.path.as_posix() for video in found.videos}
    bad = (
        BadVideo(video_id=name, path=paths[name], kind="missing", reason=reason)
        for name, reason in found.unreadable.items()
    )
    return Stock(replace(manifest, videos=found.videos), tuple(bad))


@task
def check_truth(dataset: str, root: Path, splits: tuple[Split, ...], *, of_streams: bool = False) -> None:
    """Raises ValueError where a manifest's truth would make training, or its numbers, wrong.

    The first of the splits must have labels; `of_streams`: and they must say which stream was forged, as training
    needs to know.
    """
    manifest = read_dataset(dataset, root)
    chosen = replace(manifest, videos=tuple(video for video in manifest.videos if video.split in splits))
    first = chosen.split(splits[0])
    if first.videos and not first.labelled().videos:
        raise ValueError(
            f"the {splits[0]} split of {dataset} at {root} has no labels, so there is nothing to train on or to score "
            "against; choose another split, or make predictions for it with `iamsb predict`"
        )
    if of_streams and any(video.is_forged and not video.streams_told_apart for video in chosen.videos):
        raise ValueError(
            f"{dataset} says that clips are forged, but not in which stream, and training needs to know; it can be "
            "evaluated on, or state the stream of each clip in a manifest of your own (dataset 'generic')"
        )
    validate(chosen, look_at_files=False).raise_for_errors()


@task(retries=NUM_RETRIES, retry_delay_seconds=RETRY_DELAYS, retry_condition_fn=worth_retrying)
def choose_encoders(chosen: str | tuple[EncoderSpec, EncoderSpec]) -> tuple[EncoderSpec, EncoderSpec]:
    """The pair (audio, visual) by name or as given, with the digests of their weights."""
    audio, visual = map(resolve_spec, encoder_specs(chosen) if isinstance(chosen, str) else chosen)
    return audio, visual


@task(
    task_run_name="shard-{job.digest:.12}",
    cache_policy=ByContent(),
    persist_result=True,
    result_serializer="json",
    retries=NUM_RETRIES,
    retry_delay_seconds=RETRY_DELAYS,
    retry_jitter_factor=RETRY_JITTER,
    retry_condition_fn=worth_retrying,
)
def extract_shard(job: ShardJob) -> ShardResult:
    """Decode, encode and commit what the feature store lacks of one shard, on this machine's device of the name."""
    return extraction.extract(replace(job, device=resolve_device(job.device)))


@task
def list_bad(stock: Stock, specs: tuple[EncoderSpec, EncoderSpec], store: Place) -> tuple[BadVideo, ...]:
    """Every video that cannot be used, from the store's own records, as a table in the run's page too."""
    names: dict[str, list[VideoRecord]] = defaultdict(list)
    for video in stock.manifest.videos:
        if video.media_sha256 is not None:
            names[video.media_sha256].append(video)
    features = open_store(store)
    found: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for spec in specs:
        for record in features.failures(spec.identity, names):
            found[record.sha256, record.kind, record.reason].append(stream_name(spec.modality))
    failed = [
        BadVideo(
            video_id=video.video_id,
            path=video.path.as_posix(),
            kind=kind,
            reason=reason,
            stream=streams[0] if len(streams) < len(specs) else "",
        )
        for (sha256, kind, reason), streams in found.items()
        for video in names[sha256]
    ]
    bad = (*stock.bad, *sorted(failed, key=lambda one: (one.video_id, one.stream)))
    rows = [{"video": one.video_id, "stream": one.stream, "kind": one.kind, "reason": one.reason} for one in bad]
    if rows:
        create_table_artifact(rows[:_NUM_ROWS_SHOWN], key="bad-videos", description=f"{len(rows)} bad videos")
    return bad
