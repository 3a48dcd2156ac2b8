"""forge: real clips, or none -> a dataset of partial forgeries with exact truth, and its data card."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from iamsb_core.forgery.config import ForgeConfig
from iamsb_core.forgery.forge import ForgeSummary
from tasks.forging import forge_dataset, write_card


@flow(name="forge")
def forge(
    out: Path,
    media: Path | None = None,
    config: ForgeConfig = ForgeConfig(),  # noqa: B008
    seed: int = 0,
    *,
    identities: Path | None = None,
    licence: str | None = None,
) -> ForgeSummary:
    """Forge a dataset in the layout of the configuration; one that is there already with the same content is kept.

    identities: who is in which file, as CSV or JSON. licence: of the sources, as the data card states it.
    """
    summary = forge_dataset(media, out, config, seed, identities)
    write_card(summary.out, licence)
    return summary
