"""A dataset of a few drawn clips, and a training that takes seconds: what tests of whole flows work on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.train import TrainFlowConfig
from iamsb_core.digest import plain
from iamsb_core.forgery.config import ForgeConfig, SyntheticConfig
from iamsb_core.forgery.forge import forge
from iamsb_core.systems.iamsb.config import CoarseConfig, NeckConfig, compact
from iamsb_core.training.config import TrainConfig

TINY = replace(
    compact(),
    dim=32,
    neck=NeckConfig(num_blocks=1, expansion=1, edge_dim=8),
    coarse=CoarseConfig(num_queries=12, hidden_multiple=1),
)


def forge_tiny(folder: Path, num_clips: tuple[int, int, int] = (6, 3, 3), seconds: float = 2.5) -> Path:
    """Drawn clips of that length, forged, in LAV-DF's layout; the folder."""
    config = ForgeConfig(
        num_clips=num_clips,
        people_shares=(1.0, 1.0, 1.0),
        clip_seconds=(seconds - 0.1, seconds + 0.1),
        min_source_seconds=min(2.0, seconds - 0.1),
        segment_seconds=(0.2, min(1.0, seconds / 2)),
        synthetic=SyntheticConfig(num_people=3, seconds_per_person=4.0),
    )
    return forge(None, folder, config, num_workers=1).out


def tiny_training(**schedule: Any) -> TrainFlowConfig:
    """IaMSB at its smallest, for one epoch in batches of three, unless the schedule says otherwise."""
    training = TrainConfig(**({"epochs": 1, "batch_size": 3} | schedule))
    return TrainFlowConfig(system_config=plain(TINY), training=training)
