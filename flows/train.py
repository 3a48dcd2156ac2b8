"""train: features that are missing -> training -> a registered model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prefect import flow

from flows.extract import ExtractConfig, Extraction, extract
from iamsb_core.digest import plain
from iamsb_core.manifest import StreamName
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.recipes import check_size, system_recipe, training_recipe
from storage.home import Home
from tasks.features import check_truth
from tasks.fitting import TrainedModel
from tasks.models import champion, promote, train_system
from tasks.policy import resolve_device
from tasks.train_job import TeamConfig, TrainJob, checked_system_config


@dataclass(frozen=True, kw_only=True)
class TrainFlowConfig:
    """What is trained, on which features, and how."""

    system: str = "iamsb"
    size: str = "auto"
    """a preset of the system; auto: `paper` on a GPU, `compact` on a CPU"""
    system_config: dict[str, Any] = field(default_factory=dict)
    """fields of the system's configuration that differ from its size's"""
    encoders: str = "handcrafted"
    training: TrainConfig | None = None
    """None: the schedule that is named, or that of the size"""
    schedule: str | None = None
    """one of the system's own, such as `long` of fpn-transformer"""
    device: str = "auto"
    max_bad_share: float = 0.5
    num_clips: int | None = None
    """of the train split, at most; None: all"""
    hidden: tuple[StreamName, ...] = ()
    """streams that training does without, as if no clip had them"""
    processes: int = 1
    """that share every batch, on each machine; on a GPU one for each device"""
    machines: int = 1
    rendezvous: str = ""
    """HOST:PORT of this machine, where those of other machines meet it"""

    def __post_init__(self) -> None:
        if self.num_clips is not None and self.num_clips < 1:
            raise ValueError(f"num_clips must be at least 1, got {self.num_clips}; leave it out to train on all clips")
        if len(set(self.hidden)) > 1:
            raise ValueError("training needs a stream; hide one of audio and visual at most")
        checked_system_config(self.system, self.system_config)
        _ = self.team
        if self.size != "auto":
            check_size(self.system, self.size)
        if self.schedule is not None:
            training_recipe("paper", self.system, self.schedule)

    def resolved(self) -> TrainFlowConfig:
        """With nothing left to the machine: device, size, schedule and the system's whole configuration."""
        device = resolve_device(self.device)
        size = size_on(device) if self.size == "auto" else self.size
        schedule = training_recipe(size, self.system, self.schedule)
        return replace(
            self,
            size=size,
            device=device,
            system_config=system_recipe(self.system, size, self.system_config),
            training=schedule if self.training is None else self.training,
        )

    @property
    def team(self) -> TeamConfig:
        """Who trains."""
        return TeamConfig(processes=self.processes, machines=self.machines, rendezvous=self.rendezvous)

    @property
    def features(self) -> ExtractConfig:
        """What to extract for it."""
        return ExtractConfig(
            encoders=self.encoders, device=self.device, max_bad_share=self.max_bad_share, splits=("train", "dev")
        )


def size_on(device: str) -> str:
    """The preset that a device can train."""
    return "compact" if device == "cpu" else "paper"


def job_of(dataset: str, config: TrainFlowConfig, extracted: Extraction, home: Home) -> TrainJob:
    """The training of a resolved configuration on these features."""
    assert config.training is not None
    return TrainJob(
        dataset=dataset,
        root=extracted.root,
        manifest=extracted.manifest,
        audio=extracted.audio,
        visual=extracted.visual,
        system=config.system,
        system_config=plain(checked_system_config(config.system, config.system_config)),
        training=config.training,
        device=config.device,
        home=home,
        num_clips=config.num_clips,
        hidden=config.hidden,
        team=config.team,
    )


@flow(name="train", flow_run_name="train-{dataset}")
def train(root: Path, dataset: str = "lavdf", config: TrainFlowConfig = TrainFlowConfig()) -> TrainedModel:
    """Train a system; the first model of a home becomes its champion."""
    home, config = Home.current(), config.resolved()
    check_truth(dataset, root, ("train", "dev"), of_streams=True)
    extracted = extract(root, dataset, config.features)
    trained = train_system(job_of(dataset, config, extracted, home))
    if champion(home) is None:
        promote(home, trained.model)
    return trained
