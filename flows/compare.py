"""compare: every system on every dataset with every seed, under the same conditions -> one page of results."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.evaluate import evaluate
from flows.extract import Extraction, extract
from flows.train import TrainFlowConfig, job_of
from flows.variants import check_terms
from iamsb_core.digest import digest
from iamsb_core.manifest import Split
from iamsb_core.report.arena import Arena, DatasetArena, Failure
from iamsb_core.systems.base import system_names
from iamsb_core.training.recipes import training_recipe
from storage.home import Home
from storage.tracking import start_run
from tasks import progress
from tasks.comparing import Comparison, SystemRuns, record, stand
from tasks.features import check_truth
from tasks.fitting import TrainedModel
from tasks.models import train_system
from tasks.policy import resolve_device
from tasks.scoring import Evaluation

log = logging.getLogger(__name__)
STAGE = "trainings"


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One dataset of a comparison."""

    root: Path
    dataset: str = "lavdf"


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Who competes, and under which conditions."""

    systems: tuple[str, ...] = ()
    """names; the first is the one that the others are compared with. Empty: all, IaMSB first"""
    seeds: tuple[int, ...] = (0, 1, 2)
    size: str = "auto"
    """a preset that every system has: `paper`, `compact`; auto: `paper` on a GPU, `compact` on a CPU"""
    epochs: int | None = None
    """for everyone; None: IaMSB's at that size"""
    encoders: str = "handcrafted"
    protocol: str = "lavdf"
    split: Split = "test"
    device: str = "auto"

    def __post_init__(self) -> None:
        check_terms(self.seeds, self.protocol)
        if len(set(self.systems)) < len(self.systems):
            raise ValueError(f"name each system once, got {', '.join(self.systems)}")

    @property
    def everyone(self) -> tuple[str, ...]:
        """The systems, the reference first."""
        return self.systems or ("iamsb", *(name for name in system_names() if name != "iamsb"))

    def of(self, system: str, seed: int) -> TrainFlowConfig:
        """One training: its own recipe at the size, with the common number of epochs."""
        usual = TrainFlowConfig(system=system, size=self.size, encoders=self.encoders, device=self.device).resolved()
        assert usual.training is not None
        epochs = training_recipe(usual.size).epochs if self.epochs is None else self.epochs
        return replace(usual, training=replace(usual.training, epochs=epochs, seed=seed))


@flow(name="compare")
def compare(contests: list[Contest], config: CompareConfig = CompareConfig(), out: Path | None = None) -> Comparison:
    """Train and score everyone; a training that was done before is not done again.

    One that fails costs its own place: the page is written with the others', and then RuntimeError is raised.
    out: folder for arena.html and arena.json, one of the home's own if None.
    """
    if not contests:
        raise ValueError("name at least one dataset to compare systems on")
    if len({one.dataset for one in contests}) < len(contests):
        raise ValueError("name each dataset once; give copies of one layout through different manifests")
    home, failures = Home.current(), []
    plan = {system: [config.of(system, seed) for seed in config.seeds] for system in config.everyone}
    progress.begin(STAGE, len(contests) * len(plan) * len(config.seeds))
    with start_run(home, "compare", tags={"kind": "compare"}) as run:
        run.log_config({"contests": contests, "config": config, "systems": config.everyone})
        arenas = []
        for contest in contests:
            arena = _contest(contest, config, plan, run.run_id, failures)
            arenas.extend([arena] if arena is not None else [])
        first = next(iter(plan.values()))[0]
        assert first.training is not None
        result = Arena(
            protocol=config.protocol,
            encoders=config.encoders,
            epochs=first.training.epochs,
            device=first.device,
            datasets=tuple(arenas),
            failures=tuple(failures),
        )
        folder = home.root / "reports" / f"arena-{digest([contests, config])[:12]}"
        done = record(run, result, folder if out is None else out)
    _show(result, done.html)
    if failures:
        some = failures[0]
        raise RuntimeError(
            f"{len(failures)} trainings or evaluations failed, the others are compared in {done.html}; the first: "
            f"{some.system}, seed {some.seed}, on {some.dataset}: {some.reason}"
        )
    return done


def _contest(
    contest: Contest,
    config: CompareConfig,
    plan: dict[str, list[TrainFlowConfig]],
    parent_run_id: str,
    failures: list[Failure],
) -> DatasetArena | None:
    """All systems on one dataset; None where nobody has a result."""
    name, root = contest.dataset, contest.root
    check_truth(name, root, ("train", "dev", config.split), of_streams=True)
    features = next(iter(plan.values()))[0].features
    extracted = extract(root, name, features)
    runs = []
    for system, trainings in plan.items():
        done = []
        for seed, training in zip(config.seeds, trainings, strict=True):
            try:
                done.append((seed, *_one(contest, config, training, extracted, parent_run_id)))
            except Exception as error:
                log.exception("%s, seed %d, on %s", system, seed, name)
                reason = f"{type(error).__name__}: {error}"
                failures.append(Failure(dataset=name, system=system, seed=seed, reason=reason))
            progress.advance(STAGE, 1, text=f"{system}, seed {seed}")
        if done:
            seeds, trained, evaluated = zip(*done, strict=True)
            size = trainings[0].size
            runs.append(SystemRuns(system=system, size=size, seeds=seeds, trained=trained, evaluated=evaluated))
    if not runs:
        return None
    device = resolve_device(config.device)
    return stand(runs, dataset=name, root=root, split=config.split, protocol=config.protocol, device=device)


def _one(
    contest: Contest, config: CompareConfig, training: TrainFlowConfig, extracted: Extraction, parent_run_id: str
) -> tuple[TrainedModel, Evaluation]:
    trained = train_system(job_of(contest.dataset, training, extracted, Home.current()))
    evaluated = evaluate(
        contest.root,
        contest.dataset,
        trained.model.uri,
        split=config.split,
        protocol=config.protocol,
        device=config.device,
        baselines=False,
        parent_run_id=parent_run_id,
    )
    return trained, evaluated


def _show(arena: Arena, page: Path) -> None:
    """The tables and the page's place in the run's own page."""
    for one in arena.datasets:
        rows = [
            {"system": standing.system, **{name: found.estimate for name, found in standing.intervals.items()}}
            for standing in one.standings
        ]
        create_table_artifact(rows, key="arena", description=f"{one.dataset} {one.split}, {arena.protocol}")
    create_markdown_artifact(f"Side by side: `{page}`", key="arena-page")
