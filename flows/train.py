"""train: features that are missing -> training -> a registered model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow

from flows.extract import ExtractConfig, extract
from iamsb_core.digest import plain
from iamsb_core.training.config import TrainConfig
from storage.home import Home
from tasks.features import check_truth
from tasks.fitting import TrainedModel, TrainJob, checked_system_config
from tasks.models import champion, promote, train_system
from tasks.policy import resolve_device


@dataclass(frozen=True, kw_only=True)
class TrainFlowConfig:
    """What is trained, on which features, and how."""

    system: str = "iamsb"
    system_config: dict[str, Any] = field(default_factory=dict)
    """fields of the system's configuration that differ from its defaults"""
    encoders: str = "handcrafted"
    training: TrainConfig = field(default_factory=TrainConfig)
    device: str = "auto"
    max_bad_share: float = 0.5

    def __post_init__(self) -> None:
        checked_system_config(self.system, self.system_config)


@flow(name="train", flow_run_name="train-{dataset}")
def train(root: Path, dataset: str = "lavdf", config: TrainFlowConfig = TrainFlowConfig()) -> TrainedModel:
    """Train a system; the first model of a home becomes its champion."""
    home = Home.current()
    check_truth(dataset, root, ("train", "dev"))
    features = ExtractConfig(
        encoders=config.encoders,
        device=config.device,
        max_bad_share=config.max_bad_share,
        splits=("train", "dev"),
    )
    extracted = extract(root, dataset, features)
    job = TrainJob(
        dataset=dataset,
        root=extracted.root,
        manifest=extracted.manifest,
        audio=extracted.audio,
        visual=extracted.visual,
        system=config.system,
        system_config=plain(checked_system_config(config.system, config.system_config)),
        training=config.training,
        device=resolve_device(config.device),
        home=home,
    )
    trained = train_system(job)
    if champion(home) is None:
        promote(home, trained.model)
    return trained
