"""extract: manifest -> digests of the media -> shards -> features in the store, of the clips or of views of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import wait

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.manifest import SPLITS, Split, VideoShard
from iamsb_core.media.perturbations.spec import read_perturbations
from storage.home import Home
from storage.refs import ManifestRef
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
    store: Path
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


@flow(name="extract", task_runner=runner(), flow_run_name="extract-{dataset}")
def extract(root: Path, dataset: str = "lavdf", config: ExtractConfig = ExtractConfig()) -> Extraction:
    """Extract what the feature store lacks. Raises TooManyBadVideosError where more than the stated share is bad."""
    home = Home.current()
    chosen = choose_encoders(config.encoders if config.specs is None else config.specs)
    audio, visual = (spec.perturbed(read_perturbations(config.perturb)) for spec in chosen)
    stock = take_stock(dataset, root, home, config.splits)
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
    wait(futures)  # one shard that fails must not cost the others their work
    results, cached = [], []
    for job, future in zip(jobs, futures, strict=True):
        results.append(future.result())
        cached.append(future.state.name == "Cached")
        progress.advance(STAGE, len(job.shard.videos) if cached[-1] else 0)
    bad = list_bad(stock, (audio, visual), home.features)
    done = Extraction(
        dataset=dataset,
        root=root.expanduser().absolute(),
        store=home.features,
        manifest=ManifestRef.of(stock.manifest),
        audio=audio,
        visual=visual,
        num_videos=len(stock.manifest.videos),
        num_shards=len(jobs),
        num_cached_shards=sum(cached),
        num_decoded=sum(result.num_decoded for result, old in zip(results, cached, strict=True) if not old),
        bad=bad,
    )
    if done.num_bad > config.max_bad_share * done.num_videos:
        raise TooManyBadVideosError(done, config.max_bad_share)
    return done
