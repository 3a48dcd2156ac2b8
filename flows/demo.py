"""demo: clips -> forgeries -> features -> a model -> metrics on people never seen -> reports on unseen clips."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import flow

from flows.evaluate import evaluate
from flows.forge import forge
from flows.localize import localize
from flows.train import TrainFlowConfig, train
from iamsb_core.digest import digest
from iamsb_core.forgery.config import ForgeConfig
from iamsb_core.forgery.forge import ForgeSummary
from iamsb_core.forgery.presets import demo_forgery, quick_forgery, real_forgery
from iamsb_core.training.recipes import training_recipe
from storage.home import Home
from tasks.fitting import TrainedModel
from tasks.models import Unseen, pick_unseen
from tasks.reporting import Localized
from tasks.scoring import Evaluation

DATASET = "lavdf"


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """What the demo forges, and how it trains on it."""

    forgery: ForgeConfig
    train: TrainFlowConfig


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo leaves."""

    dataset: ForgeSummary
    trained: TrainedModel
    evaluation: Evaluation
    unseen: tuple[Unseen, ...]
    localized: tuple[Localized, ...]
    """one for each of the unseen clips"""
    seconds: dict[str, float]
    """wall time of each stage"""


def demo_training(seed: int, *, quick: bool) -> TrainFlowConfig:
    """A small IaMSB, minutes of training on two cores; with quick, just enough steps to see every stage work."""
    training = replace(training_recipe("compact"), seed=seed)
    if quick:
        training = replace(training, epochs=2, evaluate_every_epochs=1)
    return TrainFlowConfig(size="compact", training=training)


def demo_config(*, has_media: bool, quick: bool, seed: int) -> DemoConfig:
    """The demo's configuration: drawn clips or real ones, small or not."""
    forgery = quick_forgery() if quick else real_forgery() if has_media else demo_forgery()
    return DemoConfig(forgery=forgery, train=demo_training(seed, quick=quick))


def dataset_folder(home: Home, media: Path | None, *, quick: bool, seed: int) -> Path:
    """Where the forged dataset lies: `demo` for the usual one, a name of its own for any other."""
    parts = ["demo"] + (["quick"] if quick else []) + ([f"seed{seed}"] if seed else [])
    parts += [f"{media.name}-{digest(str(media))[:8]}"] if media is not None else []
    return home.root / "datasets" / "-".join(parts)


@flow(name="demo")
def demo(media: Path | None = None, quick: bool = False, seed: int = 0) -> Demo:
    """Every stage, once, for real."""
    home, began, seconds = Home.current(), time.perf_counter(), dict[str, float]()

    def lap(stage: str) -> None:
        nonlocal began
        seconds[stage], began = round(time.perf_counter() - began, 1), time.perf_counter()

    config = demo_config(has_media=media is not None, quick=quick, seed=seed)
    root = dataset_folder(home, media, quick=quick, seed=seed)
    forged = forge(root, media, config.forgery, seed)
    lap("forge")
    trained = train(root, DATASET, config.train)
    lap("extract and train")
    evaluation = evaluate(root, DATASET, trained.model.uri)
    lap("evaluate")
    unseen = pick_unseen(DATASET, root)
    localized = localize([clip.path for clip in unseen], trained.model.uri, home.root / "reports" / root.name)
    lap("localize")
    return Demo(
        dataset=forged, trained=trained, evaluation=evaluation, unseen=unseen, localized=localized, seconds=seconds
    )
