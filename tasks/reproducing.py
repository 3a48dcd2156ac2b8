"""Inside a reproduction: every variant's predictions scored together on the same clips, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from iamsb_core.digest import plain
from iamsb_core.manifest import Split
from iamsb_core.metrics.labels import Labels
from iamsb_core.report.reproduction import (
    Reproduction,
    ScoreHistogram,
    VariantResult,
    VariantRuns,
    kind_of,
    measure,
    score_histogram,
)
from iamsb_core.report.reproduction_page import render_reproduction
from iamsb_core.systems.iamsb.variants import Variant
from storage.home import Home
from storage.prediction_store import PredictionStore
from storage.tracking import TrackedRun
from tasks.fitting import TrainedModel
from tasks.pages import log_page_and_numbers, write_page_and_numbers
from tasks.scoring import Evaluation, manifest_of


@dataclass(frozen=True, kw_only=True)
class VariantOutcome:
    """One variant with one seed."""

    variant: Variant
    seed: int
    trained: TrainedModel
    """of the full system, where the variant was not trained by itself"""
    evaluated: Evaluation


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """What a reproduction leaves."""

    run_id: str
    """in MLflow, above the runs of the variants"""
    found: Reproduction
    html: Path
    json: Path


@dataclass(frozen=True, kw_only=True)
class MeasuredVariants:
    """Every variant's numbers, and what they were counted on."""

    results: tuple[VariantResult, ...]
    scores: ScoreHistogram | None
    num_clips: int
    num_forged: int


@task
def measure_variants(
    outcomes: Sequence[VariantOutcome], *, dataset: str, root: Path, split: Split, protocol: str, num_replicates: int
) -> MeasuredVariants:
    """Score all on one split; the first variant is the one that the others are compared with."""
    home = Home.current()
    names = list(dict.fromkeys((one.variant.sweep, one.variant.name) for one in outcomes))
    by_name = {name: [one for one in outcomes if (one.variant.sweep, one.variant.name) == name] for name in names}
    everyone = [_runs(home, by_name[name]) for name in names]
    labels = Labels.of_manifest(manifest_of(home, dataset, root, split, everyone[0].predictions[0]))
    kinds = {clip.video_id: kind_of(clip) for clip in labels.clips}
    return MeasuredVariants(
        results=measure(everyone, labels, protocol, num_replicates=num_replicates),
        scores=score_histogram(everyone[0].predictions, kinds),
        num_clips=len(labels.clips),
        num_forged=sum(clip.is_forged for clip in labels.clips),
    )


def _runs(home: Home, outcomes: Sequence[VariantOutcome]) -> VariantRuns:
    store = PredictionStore(home.predictions)
    return VariantRuns(
        variant=outcomes[0].variant,
        seeds=tuple(one.seed for one in outcomes),
        models=tuple(one.trained.model.uri for one in outcomes),
        training_runs=tuple(one.trained.run_id for one in outcomes),
        evaluation_runs=tuple(one.evaluated.run_id for one in outcomes),
        predictions=tuple(store.read(one.evaluated.predictions).predictions for one in outcomes),
    )


def record(run: TrackedRun, found: Reproduction, folder: Path) -> Reproduced:
    """Write the page and the numbers, and log both with every variant's metrics: `bridges/no-csb/ap_0.95`.

    A sweep with an axis is a curve: `witnesses/ap_0.95` at step k.
    """
    done = Reproduced(
        run_id=run.run_id, found=found, html=folder / "reproduction.html", json=folder / "reproduction.json"
    )
    write_page_and_numbers(done.html, render_reproduction(found), done.json, plain(found))
    for one in found.results:
        name = one.variant.sweep if one.variant.point is not None else f"{one.variant.sweep}/{one.variant.name}"
        numbers = {f"{name}/{metric}": value for metric, value in one.metrics.items()}
        if one.steps is not None:
            numbers[f"{name}/forged_stream_step_share"] = one.steps.forged_share
        run.log_metrics(numbers, one.variant.point or 0)
    log_page_and_numbers(run, done.html, done.json)
    return done
