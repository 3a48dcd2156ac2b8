"""forge: real clips, or none -> a dataset of partial forgeries with exact truth."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from iamsb_core.forgery.config import ForgeConfig
from iamsb_core.forgery.forge import ForgeSummary
from tasks.forging import forge_dataset


@flow(name="forge")
def forge(out: Path, media: Path | None = None, config: ForgeConfig = ForgeConfig(), seed: int = 0) -> ForgeSummary:  # noqa: B008
    """Forge a dataset in LAV-DF's layout; one that is there already with the same content is kept."""
    return forge_dataset(media, out, config, seed)
