"""Inside a comparison: what every system predicted, scored together on the same clips, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prefect import task

from iamsb_core.digest import plain
from iamsb_core.manifest import Split
from iamsb_core.metrics.baselines import random_predictions
from iamsb_core.metrics.labels import Labels
from iamsb_core.report.arena import (
    Arena,
    DatasetArena,
    Entrant,
    SeedResult,
    dataset_arena,
    error_row,
    render_arena,
)
from iamsb_core.systems.cost import SystemCost, measure_cost
from iamsb_core.training.model_folder import load_model
from iamsb_core.training.validation import DISPLAY_THRESHOLD
from storage.home import Home
from storage.prediction_store import PredictionStore
from storage.registry import resolve_model
from storage.tracking import TrackedRun
from tasks.fitting import TrainedModel
from tasks.pages import log_page_and_numbers, write_page_and_numbers
from tasks.policy import gpu_slot
from tasks.scoring import Evaluation, manifest_of

COST_SECONDS = 8.6
"""mean length of a clip of LAV-DF and of AV-Deepfake1M, at which the papers state their costs"""


@dataclass(frozen=True, kw_only=True)
class SystemRuns:
    """One system's trainings and evaluations on a dataset, by seed."""

    system: str
    size: str
    seeds: tuple[int, ...]
    trained: tuple[TrainedModel, ...]
    evaluated: tuple[Evaluation, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison leaves."""

    run_id: str
    arena: Arena
    html: Path
    json: Path


@task
def stand(
    runs: Sequence[SystemRuns], *, dataset: str, root: Path, split: Split, protocol: str, device: str
) -> DatasetArena:
    """Everyone's predictions on one split, scored together. The first system is the one others are compared with."""
    home = Home.current()
    entrants = [_entrant(home, one, device) for one in runs]
    found = entrants[0].seeds[0].predictions
    durations = {video_id: clip.duration_seconds for video_id, clip in found.items()}
    manifest = manifest_of(home, dataset, root, split, found)
    chance = random_predictions(manifest, np.random.default_rng(0), durations_seconds=durations)
    labels = Labels.of_manifest(manifest)
    return dataset_arena(entrants, labels, chance, dataset=dataset, split=split, protocol=protocol)


def _entrant(home: Home, runs: SystemRuns, device: str) -> Entrant:
    store = PredictionStore(home.predictions)
    seeds = tuple(
        SeedResult(
            seed=seed,
            run_id=trained.run_id,
            model=trained.model.uri,
            threshold=trained.metrics.get(DISPLAY_THRESHOLD, 0.5),
            predictions=store.read(evaluated.predictions).predictions,
        )
        for seed, trained, evaluated in zip(runs.seeds, runs.trained, runs.evaluated, strict=True)
    )
    cost = _cost(home, runs.trained[0].model.uri, device)
    return Entrant(system=runs.system, size=runs.size, seeds=seeds, cost=cost)


def _cost(home: Home, uri: str, device: str) -> SystemCost:
    folder, _ = resolve_model(home, uri)
    model = load_model(folder, device)
    with gpu_slot(device):
        return measure_cost(model.system, model.card.streams, COST_SECONDS, device=device)


def record(run: TrackedRun, arena: Arena, folder: Path) -> Comparison:
    """Write the page and the numbers, and log both with the headline metrics: `lavdf/iamsb/ap_0.95`."""
    done = Comparison(run_id=run.run_id, arena=arena, html=folder / "arena.html", json=folder / "arena.json")
    errors = {
        one.dataset: {standing.system: plain(error_row(standing)) for standing in one.standings}
        for one in arena.datasets
    }
    document = {"errors": errors, **plain(arena)}
    write_page_and_numbers(done.html, render_arena(arena), done.json, document)
    for one in arena.datasets:
        for standing in one.standings:
            numbers = {name: found.estimate for name, found in standing.intervals.items()}
            run.log_metrics({f"{one.dataset}/{standing.system}/{name}": value for name, value in numbers.items()})
    log_page_and_numbers(run, done.html, done.json)
    return done
