"""extract: manifest -> digests of the media -> shards -> features in the store, of the clips or of views of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import opaque

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.manifest import SPLITS, Split, VideoShard
from iamsb_core.media.perturbations.spec import read_perturbations
from storage.home import Home
from storage.objects import Place
from storage.pack_writer import StoreDtype
from storage.refs import ManifestRef
from tasks import progress
from tasks.cores import cores_shared
from tasks.decoders import decoders_kept
from tasks.extraction import STAGE, which_complete
from tasks.extraction_record import recorded
from tasks.features import choose_encoders, extract_shard, list_bad, take_stock
from tasks.jobs import BadVideo, ShardJob, ShardResult, shard_jobs
from tasks.policy import device_here, runner, worker_resources

log = logging.getLogger(__name__)

_MOST_CACHED_RUNS = 100
"""shards of an extraction of which also the cached ones become task runs"""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """What to extract, and when to give up."""

    encoders: str = "handcrafted"
    """a pair by name, or AUDIO+VISUAL as `iamsb_core.encoders.load.encoder_specs` takes it"""
    specs: tuple[EncoderSpec, EncoderSpec] | None = None
    """audio and visual encoder as a model's card has them; used instead of `encoders`"""
    splits: tuple[Split, ...] = SPLITS
    shard_size: int = 64
    """videos in a task at most; a small dataset is cut finer"""
    device: str = "auto"
    max_bad_share: float = 0.5
    """of the videos, above which the flow fails; what could be extracted is kept all the same"""
    perturb: tuple[str, ...] = ()
    """what is done to the clips before they are encoded, such as `jpeg:3` (KIND:LEVEL, or KIND:LEVEL:SEED)"""
    stored_as: StoreDtype = "float16"
    """of the numbers in the store; `int8` takes little more than half the room, with an error of up to 1/254 of a
    cell's largest"""
    retry_failed: bool = False
    """also try again what failed for a reason that lies in the file"""

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"a shard needs at least 1 video, got shard_size {self.shard_size}")
        if not self.splits:
            raise ValueError(f"name at least one split of {', '.join(SPLITS)}")
        if not 0.0 <= self.max_bad_share <= 1.0:
            raise ValueError(f"max_bad_share is a share, 0 to 1, got {self.max_bad_share}")
        read_perturbations(self.perturb)


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What an extraction leaves: counts, the bad videos with their reasons, and the names to read features by."""

    dataset: str
    root: Path
    """where the dataset was read: its folder, or a manifest file"""
    store: Place
    manifest: ManifestRef
    """of the chosen splits, with the digest of every media file"""
    audio: EncoderSpec
    visual: EncoderSpec
    """resolved: their identities find the features"""
    num_videos: int
    num_shards: int
    num_cached_shards: int
    num_decoded: int
    """videos decoded in this run; 0 where the store had everything"""
    bad: tuple[BadVideo, ...]
    """videos of which a stream, or both, cannot be used"""

    @property
    def num_bad(self) -> int:
        return len({video.video_id for video in self.bad})


class TooManyBadVideosError(RuntimeError):
    """More videos than allowed cannot be used; `extraction` has all that was found, the bad ones with their reasons."""

    def __init__(self, extraction: Extraction, max_bad_share: float) -> None:
        self.extraction, self.max_bad_share = extraction, max_bad_share
        first = extraction.bad[0]
        super().__init__(
            f"{extraction.num_bad} of {extraction.num_videos} videos cannot be used, more than max_bad_share "
            f"{max_bad_share} allows; the first: {first.path}: {first.reason}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.extraction, self.max_bad_share)


def _task_runner() -> TaskRunner[Any]:
    """The one that this flow run submits to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.task_runner


def _worth_telling(jobs: Sequence[ShardJob]) -> tuple[list[tuple[ShardJob, bool]], int]:
    """The jobs that become task runs, each with whether the store has all of it; and how many others there are.

    A task run costs the server some 30 ms, also a cached one: where there are many, only those with work to do are.
    """
    found = list(zip(jobs, which_complete(jobs), strict=True))
    if len(found) <= _MOST_CACHED_RUNS:
        return found, 0
    told = [(job, whole) for job, whole in found if not whole]
    num_videos = sum(len(job.shard.videos) for job, whole in found if whole)
    progress.advance(STAGE, num_videos, cached=num_videos)
    return told, len(found) - len(told)


def _count(job: ShardJob, future: PrefectFuture[ShardResult], *, elsewhere: bool) -> None:
    """Tell of a shard whose task could not do so itself: there was nothing to do, or it ran in another process."""
    num_videos = len(job.shard.videos)
    if future.state.name == "Cached":
        progress.advance(STAGE, num_videos, cached=num_videos)
    elif elsewhere and future.state.is_completed():
        result = future.result()
        progress.advance(
            STAGE,
            num_videos,
            cached=num_videos - result.num_decoded,
            quarantined=result.num_quarantined,
            media_seconds=result.media_seconds,
        )


@flow(name="extract", task_runner=runner(), flow_run_name="extract-{dataset}")
def extract(root: Path, dataset: str = "lavdf", config: ExtractConfig = ExtractConfig()) -> Extraction:
    """Extract what the feature store lacks. Raises TooManyBadVideosError where more than the stated share is bad."""
    home, task_runner = Home.current(), _task_runner()
    chosen = choose_encoders(config.encoders if config.specs is None else config.specs)
    audio, visual = (spec.perturbed(read_perturbations(config.perturb)) for spec in chosen)
    stock = take_stock(dataset, root, home, config.splits)
    pattern = ShardJob(
        shard=VideoShard(root, ()),
        audio=audio,
        visual=visual,
        store=home.feature_place,
        device=device_here(config.device, task_runner),
        stored_as=config.stored_as,
        retry_failed=config.retry_failed,
    )
    jobs = list(shard_jobs(stock, config.shard_size, pattern))
    about = {"dataset": dataset, "root": root, "config": config, "audio": audio.identity, "visual": visual.identity}
    tally = progress.begin(STAGE, sum(len(job.shard.videos) for job in jobs), metered=True)
    with recorded(home, dataset, tally, {**about, "device": pattern.device}) as record:
        told, num_silent = _worth_telling(jobs)
        with decoders_kept(), cores_shared(pattern.device), worker_resources(task_runner, pattern.device):
            futures = [extract_shard.with_options(refresh_cache=not whole).submit(job) for job, whole in told]
            for (job, _), future in zip(told, futures, strict=True):  # one that fails must not cost the others theirs
                future.wait()
                _count(job, future, elsewhere=not isinstance(task_runner, ThreadPoolTaskRunner))
        results = [future.result() for future in futures]
        cached = [future.state.name == "Cached" for future in futures]
        bad = list_bad(opaque(stock), (audio, visual), home.feature_place)
        record.finish(bad)
        done = Extraction(
            dataset=dataset,
            root=root.expanduser().absolute(),
            store=home.feature_place,
            manifest=ManifestRef.of(stock.manifest),
            audio=audio,
            visual=visual,
            num_videos=len(stock.manifest.videos),
            num_shards=len(jobs),
            num_cached_shards=num_silent + sum(cached),
            num_decoded=sum(result.num_decoded for result, old in zip(results, cached, strict=True) if not old),
            bad=bad,
        )
        if done.num_bad > config.max_bad_share * done.num_videos:
            raise TooManyBadVideosError(done, config.max_bad_share)
    return done
