"""Inside an experiment: what every variant predicted, scored together, and the record of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from prefect import task

from iamsb_core.digest import plain
from iamsb_core.manifest import Split
from iamsb_core.metrics.labels import Labels
from iamsb_core.report.experiment import (
    Arm,
    ExperimentReport,
    Measured,
    Scene,
    Situation,
    VariantReport,
    measure,
)
from iamsb_core.report.experiment_page import render_experiment
from iamsb_core.report.experiment_words import finding
from iamsb_core.systems.cost import measure_cost
from iamsb_core.training.model_folder import load_model
from storage.home import Home
from storage.metric_history import metric_history
from storage.prediction_store import PredictionStore
from storage.registry import resolve_model
from storage.tracking import TrackedRun
from tasks.fitting import TrainedModel
from tasks.pages import log_page_and_numbers, write_page_and_numbers
from tasks.policy import gpu_slot
from tasks.scoring import Evaluation, manifest_of


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One variant's trainings by seed."""

    name: str
    system: str
    differs: str
    models: Mapping[int, TrainedModel]


@dataclass(frozen=True, kw_only=True)
class Staged:
    """One situation: which clips, and what was said of them, by variant and seed."""

    name: str
    dataset: str
    root: Path
    split: Split
    evaluated: Mapping[str, Mapping[int, Evaluation]]


@dataclass(frozen=True, kw_only=True)
class ExperimentDone:
    """What an experiment leaves."""

    run_id: str
    report: ExperimentReport
    finding: tuple[str, ...]
    html: Path
    json: Path


@task
def weigh(
    staged: Sequence[Staged], reference: str, protocol: str
) -> tuple[tuple[Situation, ...], tuple[Measured, ...]]:
    """Score everyone in every situation on the same clips."""
    home = Home.current()
    scenes = [_scene(home, one) for one in staged if one.evaluated]
    return tuple(scene.situation for scene in scenes), measure(scenes, reference, protocol)


def _scene(home: Home, staged: Staged) -> Scene:
    store = PredictionStore(home.predictions)
    arms = tuple(
        Arm(name, tuple(store.read(done.predictions).predictions for _, done in sorted(by_seed.items())))
        for name, by_seed in staged.evaluated.items()
    )
    manifest = manifest_of(home, staged.dataset, staged.root, staged.split, arms[0].runs[0])
    labels = Labels.of_manifest(manifest)
    situation = Situation(
        name=staged.name,
        dataset=staged.dataset,
        split=staged.split,
        num_clips=len(labels.clips),
        num_forged=sum(clip.is_forged for clip in labels.clips),
    )
    return Scene(situation, labels, arms)


@task
def describe(trained: Trained, lengths_seconds: Sequence[float], traces: Sequence[str], device: str) -> VariantReport:
    """What one variant is, what it costs, and what its trainings recorded."""
    home, runs = Home.current(), trained.models
    first = next(iter(runs.values()))
    folder, _ = resolve_model(home, first.model.uri)
    model = load_model(folder, device)
    with gpu_slot(device):
        costs = tuple(
            measure_cost(model.system, model.card.streams, seconds, device=device) for seconds in lengths_seconds
        )
    times = [value for one in runs.values() for value in metric_history(home, one.run_id, "step_seconds").values()]
    found = {name: _trace(home, [one.run_id for one in runs.values()], f"step_{name}") for name in traces}
    return VariantReport(
        name=trained.name,
        system=trained.system,
        differs=trained.differs,
        epochs=first.epochs,
        runs=tuple((seed, one.run_id, one.model.uri) for seed, one in sorted(runs.items())),
        costs=costs,
        step_seconds=median(times) if times else None,
        traces={name: values for name, values in found.items() if values},
    )


def _trace(home: Home, run_ids: Sequence[str], name: str) -> dict[int, float]:
    """Means over the runs at the steps that all of them recorded."""
    found = [metric_history(home, run_id, name) for run_id in run_ids]
    steps = [step for step in found[0] if all(step in other for other in found)]
    return {step: fmean(one[step] for one in found) for step in steps}


def record(run: TrackedRun, report: ExperimentReport, folder: Path) -> ExperimentDone:
    """Write the page and the numbers, and log both with every metric: `<variant>/<situation>/ap_0.5`."""
    name = report.about.name
    done = ExperimentDone(
        run_id=run.run_id,
        report=report,
        finding=finding(report),
        html=folder / f"{name}.html",
        json=folder / f"{name}.json",
    )
    document = {"finding": list(done.finding), **plain(report)}
    write_page_and_numbers(done.html, render_experiment(report), done.json, document)
    for one in report.measured:
        numbers = {metric: found.estimate for metric, found in one.intervals.items()}
        run.log_metrics({f"{one.variant}/{one.situation}/{metric}": value for metric, value in numbers.items()})
    run.log_text("\n".join(done.finding) + "\n", "finding.txt")
    log_page_and_numbers(run, done.html, done.json)
    return done
