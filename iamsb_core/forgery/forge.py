"""From genuine recordings to a dataset of partial forgeries with exact truth, in LAV-DF's layout."""

from __future__ import annotations

import json
import logging
import multiprocessing
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.digest import digest, plain
from iamsb_core.forgery.clip_maker import forget_recordings, make_clip, note_path, set_up_worker
from iamsb_core.forgery.config import FRAME_RATE_HZ, ForgeConfig
from iamsb_core.forgery.lavdf_files import make_split_folders, write_lavdf_files
from iamsb_core.forgery.plan import ClipPlan, SourceLength, count_people, plan_clips, split_people
from iamsb_core.forgery.recording import is_saved, load_recording
from iamsb_core.forgery.sources import Source, decode_sources, drawn_sources, list_sources
from iamsb_core.forgery.staging import finished, staged
from iamsb_core.forgery.synthetic import save_drawn_recording
from iamsb_core.manifest import SPLITS, Split

log = logging.getLogger(__name__)

FORMAT = 1
"""Counts up with every change of the code that changes what the same configuration makes."""

Progress = Callable[[str, int, int], None]
"""called with what is being done (`recordings` or `clips`), how many are done, and how many there are"""


@dataclass(frozen=True, kw_only=True)
class SplitSummary:
    """What one split holds."""

    num_clips: int
    num_real: int
    num_forged_audio: int
    num_forged_visual: int
    num_segments_audio: int
    num_segments_visual: int
    num_people: int
    duration_seconds: float


@dataclass(frozen=True, kw_only=True)
class ForgeSummary:
    """What was made. `iamsb_core.digest.plain` makes it JSON data."""

    out: Path
    digest: str
    reused: bool
    """whether the dataset was there already"""
    splits: dict[Split, SplitSummary]
    methods: dict[str, int]
    """number of forged segments by `stream:method`"""
    skipped: tuple[tuple[str, str], ...]
    """sources that could not be used, with the reason"""
    wall_seconds: float


def forge(
    media: Path | None,
    out: Path,
    config: ForgeConfig,
    *,
    seed: int = 0,
    identities: Path | None = None,
    num_workers: int = 2,
    progress: Progress | None = None,
) -> ForgeSummary:
    """Make a dataset of partial forgeries in `out`, from a folder of genuine videos or (media None) from drawn people.

    identities: who is in which file, see `people_of`; without it, CATALOG.csv, or each file a person of its own.
    The same media, configuration and seed give the same bytes. `out` appears whole or not at all; an interrupted run
    is taken up where it stopped; a dataset that is already there is reused when it is the same.
    Raises ValueError where media has no usable videos of enough people, or `out` holds something else.
    """
    started = time.monotonic()
    out = out.expanduser().absolute()
    sources = drawn_sources(config) if media is None else list_sources(media.expanduser().absolute(), identities)
    split_people([source.person for source in sources], config, np.random.default_rng(seed))  # too few: said at once
    identity = _identity(sources, config, seed)
    head = finished(out, identity)
    if head is not None:
        return replace(_summary_from(head["summary"], out), reused=True, wall_seconds=time.monotonic() - started)
    with staged(out, identity) as folder:
        work = _Work(folder, config, seed, num_workers, progress)
        usable, skipped = work.record(sources)
        plans = plan_clips(usable, config, seed)
        notes = work.make(plans)
        summary = _summarise(
            out,
            identity,
            plans=plans,
            notes=notes,
            sources=usable,
            skipped=skipped,
            wall_seconds=time.monotonic() - started,
        )
        about = {"digest": identity, "seed": seed, "config": plain(config), "summary": plain(summary)}
        write_lavdf_files(folder, notes, {**about, "summary": {**about["summary"], "out": "", "wall_seconds": 0.0}})
        work.clean()
    log.info("forged %d clips in %.1f s: %s", len(plans), summary.wall_seconds, out)
    return summary


def _identity(sources: Iterable[Source], config: ForgeConfig, seed: int) -> str:
    media = [[source.name, source.person, source.sha256] for source in sources]
    return digest({"format": FORMAT, "config": plain(config), "seed": seed, "media": media})


class _Work:
    """One run inside its staging folder."""

    def __init__(
        self, folder: Path, config: ForgeConfig, seed: int, num_workers: int, progress: Progress | None
    ) -> None:
        self.folder, self.config, self.seed = folder, config, seed
        self.num_workers = max(1, num_workers)
        self.recordings, self.notes = folder / ".recordings", folder / ".notes"
        self._progress = progress
        self._lock = threading.Lock()
        for path in (self.recordings, self.notes):
            path.mkdir(exist_ok=True)
        make_split_folders(folder)

    def record(self, sources: Sequence[Source]) -> tuple[tuple[SourceLength, ...], tuple[tuple[str, str], ...]]:
        """Decode or draw every source once; what can be used, and what cannot with the reason."""
        tell = self._teller("recordings", len(sources))
        drawn = [source for source in sources if source.media is None]
        filmed = tuple(source for source in sources if source.media is not None)
        skipped: tuple[tuple[str, str], ...] = ()
        if filmed:
            skipped = decode_sources(filmed, self.recordings, self.config, num_workers=self.num_workers, tell=tell)
        seconds = self.config.synthetic.seconds_per_person
        jobs = [(i, seconds, self.seed, self.recordings / source.key) for i, source in enumerate(drawn)]
        self._run(save_drawn_recording, jobs, tell)
        usable = [source for source in sources if is_saved(self.recordings / source.key)]
        if not usable:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
            raise ValueError(f"none of the {len(sources)} videos can be forged from ({reasons}); give other media")
        lengths = (load_recording(self.recordings / source.key).num_frames for source in usable)
        return tuple(SourceLength(s.key, s.person, n) for s, n in zip(usable, lengths, strict=True)), skipped

    def make(self, plans: Sequence[ClipPlan]) -> list[dict[str, Any]]:
        """Make every clip; their notes, in order."""
        tell = self._teller("clips", len(plans))
        forget_recordings()
        self._run(make_clip, [(plan, self.config, self.recordings, self.folder, self.notes) for plan in plans], tell)
        return [json.loads(note_path(self.notes, plan).read_text()) for plan in plans]

    def clean(self) -> None:
        """Remove what only the making needed."""
        forget_recordings()
        shutil.rmtree(self.recordings)
        shutil.rmtree(self.notes)

    def _teller(self, what: str, total: int) -> Callable[[], None]:
        done = 0

        def tell() -> None:
            nonlocal done
            with self._lock:
                done += 1
                if self._progress is not None:
                    self._progress(what, done, total)

        return tell

    def _run(self, job: Callable[..., None], arguments: Sequence[tuple[Any, ...]], tell: Callable[[], None]) -> None:
        if self.num_workers == 1 or len(arguments) < 2:
            for each in arguments:
                job(*each)
                tell()
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.num_workers, len(arguments)), context, set_up_worker) as pool:
            runs = [pool.submit(job, *each) for each in arguments]
            try:
                for run in as_completed(runs):
                    run.result()
                    tell()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _summarise(
    out: Path,
    identity: str,
    *,
    plans: Sequence[ClipPlan],
    notes: Sequence[Mapping[str, Any]],
    sources: Sequence[SourceLength],
    skipped: tuple[tuple[str, str], ...],
    wall_seconds: float,
) -> ForgeSummary:
    people = count_people(plans, sources)
    methods = Counter(
        f"{stream}:{span['method']}" for note in notes for stream in ("audio", "visual") for span in note[stream]
    )
    splits = {
        split: _split_summary([note for note in notes if note["split"] == split], people[split]) for split in SPLITS
    }
    return ForgeSummary(
        out=out,
        digest=identity,
        reused=False,
        splits=splits,
        methods=dict(sorted(methods.items())),
        skipped=skipped,
        wall_seconds=wall_seconds,
    )


def _split_summary(notes: Sequence[Mapping[str, Any]], num_people: int) -> SplitSummary:
    return SplitSummary(
        num_clips=len(notes),
        num_real=sum(note["kind"] == "real" for note in notes),
        num_forged_audio=sum(bool(note["audio"]) for note in notes),
        num_forged_visual=sum(bool(note["visual"]) for note in notes),
        num_segments_audio=sum(len(note["audio"]) for note in notes),
        num_segments_visual=sum(len(note["visual"]) for note in notes),
        num_people=num_people,
        duration_seconds=sum(note["num_frames"] for note in notes) / FRAME_RATE_HZ,
    )


def _summary_from(stored: Mapping[str, Any], out: Path) -> ForgeSummary:
    splits = {name: SplitSummary(**stored["splits"][name]) for name in SPLITS}
    skipped = tuple((name, reason) for name, reason in stored["skipped"])
    return ForgeSummary(**{**stored, "out": out, "splits": splits, "skipped": skipped})
