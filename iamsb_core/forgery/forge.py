"""From genuine recordings to a dataset of partial forgeries with exact truth, in a benchmark's layout."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from iamsb_core.digest import digest, plain
from iamsb_core.forgery.avdeepfake1m_files import write_avdeepfake1m_files
from iamsb_core.forgery.config import ForgeConfig, Layout
from iamsb_core.forgery.examples import EXAMPLES_FOLDER, choose_examples
from iamsb_core.forgery.lavdf_files import write_lavdf_files
from iamsb_core.forgery.names import SPLIT_FOLDERS
from iamsb_core.forgery.plan import plan_clips, split_people
from iamsb_core.forgery.sources import Source, drawn_sources, list_sources, some_people
from iamsb_core.forgery.staging import finished, staged
from iamsb_core.forgery.summary import ForgeSummary, summarise, summary_from
from iamsb_core.forgery.work import Progress, Work

__all__ = ["FORMAT", "ForgeSummary", "forge"]

log = logging.getLogger(__name__)

FORMAT = 2
"""Counts up with every change of the code that changes what the same configuration makes."""

_WRITE_FILES: dict[Layout, Callable[[Path, Sequence[Mapping[str, Any]], Mapping[str, Any]], None]] = {
    "lavdf": write_lavdf_files,
    "av-deepfake1m": write_avdeepfake1m_files,
}


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
    sources = _sources(media, identities, config, seed)
    split_people([source.person for source in sources], config, np.random.default_rng(seed))  # too few: said at once
    identity = _identity(sources, config, seed)
    head = finished(out, identity)
    if head is not None:
        return replace(summary_from(head["summary"], out), reused=True, wall_seconds=time.monotonic() - started)
    with staged(out, identity) as folder:
        for name in SPLIT_FOLDERS[config.layout].values():  # as the layout has them, even where one stays empty
            (folder / name).mkdir(parents=True, exist_ok=True)
        work = Work(folder, config, seed, num_workers, progress)
        usable, skipped = work.record(sources)
        plans = plan_clips(usable, config, seed)
        notes = work.make(plans)
        summary = replace(
            summarise(out, identity, plans=plans, notes=notes, sources=usable, skipped=skipped),
            wall_seconds=time.monotonic() - started,
        )
        examples = choose_examples(notes)
        work.show_genuine([plans[number] for number in sorted({each.number for each in examples})], EXAMPLES_FOLDER)
        about = {
            "digest": identity,
            "seed": seed,
            "config": plain(config),
            "summary": plain(replace(summary, out=Path(), wall_seconds=0.0)),
            "drawn": media is None,
            "examples": plain(examples),
        }
        _WRITE_FILES[config.layout](folder, notes, about)
        work.clean()
    log.info("forged %d clips in %.1f s: %s", len(plans), summary.wall_seconds, out)
    return summary


def _sources(media: Path | None, identities: Path | None, config: ForgeConfig, seed: int) -> tuple[Source, ...]:
    if media is None:
        return drawn_sources(config)
    return some_people(list_sources(media.expanduser().absolute(), identities), config.num_people, seed)


def _identity(sources: Iterable[Source], config: ForgeConfig, seed: int) -> str:
    media = [[source.name, source.person, source.sha256] for source in sources]
    return digest({"format": FORMAT, "config": plain(config), "seed": seed, "media": media})
