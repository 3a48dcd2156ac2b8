"""Prefect tasks of the forgery builder."""

from __future__ import annotations

import os
from pathlib import Path

from prefect import task

from iamsb_core.forgery.config import ForgeConfig
from iamsb_core.forgery.forge import ForgeSummary, forge
from iamsb_core.report.data_card_page import write_data_card
from tasks import progress

_MAX_WORKERS = 8


@task
def forge_dataset(
    media: Path | None, out: Path, config: ForgeConfig, seed: int, identities: Path | None = None
) -> ForgeSummary:
    """Make the dataset, or find it made; an interrupted one is taken up where it stopped."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return forge(
        media,
        out,
        config,
        seed=seed,
        identities=identities,
        num_workers=min(cores, _MAX_WORKERS),
        progress=lambda what, done, total: progress.report(f"forge {what}", done, total),
    )


@task
def write_card(dataset: Path, licence: str | None) -> Path:
    """Write the data card into the dataset's folder, unless one that says the same is there; where its page is."""
    return write_data_card(dataset, licence=licence)
