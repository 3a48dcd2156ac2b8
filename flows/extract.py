"""extract: manifest -> digests of the media -> shards -> features in the store."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from prefect import flow

from iamsb_core.manifest import VideoShard
from storage.home import Home
from tasks import progress
from tasks.extraction import STAGE, is_complete
from tasks.features import choose_encoders, extract_shard, list_bad, take_stock
from tasks.jobs import BadVideo, ShardJob, shard_jobs
from tasks.policy import resolve_device, runner

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExtractConfig:
    """What to extract, and when to give up."""

    encoders: str = "handcrafted"
    """a pair by name, or AUDIO+VISUAL as `iamsb_core.encoders.load.encoder_specs` takes it"""
    shard_size: int = 64
    """videos in a task at most; a small dataset is cut finer"""
    device: str = "auto"
    max_bad_share: float = 0.5
    """of the videos, above which the flow fails; what could be extracted is kept all the same"""
    retry_failed: bool = False
    """also try again what failed for a reason that lies in the file"""

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"a shard needs at least 1 video, got shard_size {self.shard_size}")
        if not 0.0 <= self.max_bad_share <= 1.0:
            raise ValueError(f"max_bad_share is a share, 0 to 1, got {self.max_bad_share}")


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What an extraction leaves: counts, the bad videos with their reasons, and the names to read features by."""

    dataset: str
    root: Path
    store: Path
    audio_encoder: str
    visual_encoder: str
    num_videos: int
    num_shards: int
    num_cached_shards: int
    num_decoded: int
    """videos decoded in this run; 0 where the store had everything"""
    bad: tuple[BadVideo, ...]
    """videos that cannot be used, one entry for each stream concerned"""

    @property
    def num_bad(self) -> int:
        return len({video.video_id for video in self.bad})


@flow(name="extract", task_runner=runner(), flow_run_name="extract-{dataset}")
def extract(root: Path, dataset: str = "lavdf", config: ExtractConfig = ExtractConfig()) -> Extraction:
    """Extract what the feature store lacks. Raises RuntimeError where more than the stated share is bad."""
    home = Home.current()
    audio, visual = choose_encoders(config.encoders)
    stock = take_stock(dataset, root, home)
    pattern = ShardJob(
        shard=VideoShard(root, ()),
        audio=audio,
        visual=visual,
        store=home.features,
        device=resolve_device(config.device),
        retry_failed=config.retry_failed,
    )
    jobs = list(shard_jobs(stock, config.shard_size, pattern))
    progress.begin(STAGE, sum(len(job.shard.videos) for job in jobs))
    futures = [extract_shard.with_options(refresh_cache=not is_complete(job)).submit(job) for job in jobs]
    results = [future.result() for future in futures]
    cached = [future.state.name == "Cached" for future in futures]
    bad = list_bad(stock, (audio, visual), home.features)
    done = Extraction(
        dataset=dataset,
        root=stock.manifest.root,
        store=home.features,
        audio_encoder=audio.identity,
        visual_encoder=visual.identity,
        num_videos=len(stock.manifest.videos),
        num_shards=len(jobs),
        num_cached_shards=sum(cached),
        num_decoded=sum(result.num_decoded for result, old in zip(results, cached, strict=True) if not old),
        bad=bad,
    )
    if done.num_bad > config.max_bad_share * done.num_videos:
        raise RuntimeError(
            f"{done.num_bad} of {done.num_videos} videos cannot be used, more than max_bad_share "
            f"{config.max_bad_share} allows; the first: {bad[0].path}: {bad[0].reason}"
        )
    return done
