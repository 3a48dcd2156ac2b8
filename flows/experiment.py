"""experiment: a named question -> variants trained and scored -> numbers, a page and a finding in sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.bench import Bench, Contest, Terms
from flows.experiments import Experiment, experiment_named
from flows.variants import Condition, Variant
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.digest import digest
from iamsb_core.manifest import SPLITS, Split
from iamsb_core.media.perturbations.spec import KindName, Level
from iamsb_core.report.experiment import ExperimentReport, Trouble
from storage.home import Home
from storage.tracking import TrackedRun, start_run
from tasks import progress
from tasks.experiments import ExperimentDone, Staged, Trained, describe, record, weigh
from tasks.fitting import TrainedModel
from tasks.model_cards import dataset_name
from tasks.policy import resolve_device
from tasks.scoring import Evaluation

log = logging.getLogger(__name__)
STAGE = "experiment"


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """How large an experiment is made, and with which systems and perturbations where it leaves them open."""

    terms: Terms = field(default_factory=Terms)
    systems: tuple[str, ...] = ()
    """empty: the experiment's own"""
    only: tuple[str, ...] = ()
    """names of variants; empty: all. The first that is left is the reference"""
    kinds: tuple[KindName, ...] = ()
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Who is trained where, and scored under what."""

    experiment: Experiment
    terms: Terms
    benches: tuple[Bench, ...]
    variants: tuple[Variant, ...]
    conditions: tuple[Condition, ...]

    def arms(self) -> Iterator[tuple[str, Variant, Bench]]:
        """Every variant on every dataset that is trained on, with its name."""
        for variant in self.variants:
            for bench in self.benches:
                where = f"trained on {_called(bench)}"
                name = f"{variant.name}, {where}" if len(self.variants) > 1 else where
                yield (name if self.experiment.crosses_datasets else variant.name), variant, bench

    def situations(self) -> Iterator[tuple[str, Condition, Bench]]:
        """Every condition on every dataset that is scored on, with its name."""
        for bench in self.benches:
            for condition in self.conditions:
                name = condition.name or f"{condition.split or self.terms.split} split"
                yield f"on {_called(bench)}" if self.experiment.crosses_datasets else name, condition, bench

    @property
    def num_steps(self) -> int:
        """Trainings and evaluations."""
        num_arms = sum(1 for _ in self.arms()) * len(self.terms.seeds)
        return num_arms * (1 + sum(1 for _ in self.situations()))


@flow(name="experiment", flow_run_name="experiment-{name}")
def experiment(
    name: str, contests: list[Contest], config: ExperimentConfig = ExperimentConfig(), out: Path | None = None
) -> ExperimentDone:
    """Train and score every variant; what was trained before, for this or another experiment, is not trained again.

    A training or an evaluation that fails costs its own place: the page is written with the others', and then
    RuntimeError is raised. out: folder for NAME.html and NAME.json, one of the home's own if None.
    """
    home, plan = Home.current(), _plan(experiment_named(name), contests, config)
    asked, terms = plan.experiment, plan.terms
    progress.begin(STAGE, plan.num_steps)
    with start_run(home, f"experiment-{name}", tags={"kind": "experiment", "iamsb.experiment": name}) as run:
        variants = {one.name: {"system": one.system, "differs": one.differs} for one in plan.variants}
        run.log_config({"name": name, "contests": contests, "config": config, "variants": variants})
        troubles: list[Trouble] = []
        trained = _trainings(plan, run, troubles)
        staged = _evaluations(plan, trained, run, troubles)
        device = resolve_device(terms.device)
        situations, measured = weigh(staged, trained[0].name if trained else "", terms.protocol)
        report = ExperimentReport(
            about=asked.about,
            protocol=terms.protocol,
            size=terms.training_of(plan.variants[0], terms.seeds[0]).size,
            encoders=terms.encoders or asked.encoders,
            device=device,
            num_clips=terms.num_clips,
            seeds=terms.seeds,
            situations=situations,
            variants=tuple(describe(one, asked.cost_seconds, asked.traces, device) for one in trained),
            measured=measured,
            troubles=tuple(troubles),
        )
        folder = home.reports / f"experiment-{name}-{digest([contests, config])[:12]}"
        done = record(run, report, folder if out is None else out)
    create_markdown_artifact("\n\n".join((*done.finding, f"Page: `{done.html}`")), key="experiment")
    if troubles:
        some = troubles[0]
        raise RuntimeError(
            f"{len(troubles)} trainings or evaluations failed, the others are in {done.html}; the first: "
            f"{some.variant}, seed {some.seed}: {some.reason}"
        )
    return done


def _trainings(plan: _Plan, run: TrackedRun, troubles: list[Trouble]) -> list[Trained]:
    """Every arm with the seeds that could be trained."""
    found = []
    for name, variant, bench in plan.arms():
        models: dict[int, TrainedModel] = {}
        for seed in plan.terms.seeds:
            try:
                models[seed] = bench.train(variant, seed, run)
            except Exception as error:
                log.exception("%s, seed %d", name, seed)
                troubles.append(_trouble(name, "", seed, error))
            progress.advance(STAGE, 1, text=f"trained: {name}, seed {seed}")
        if models:
            found.append(Trained(name=name, system=variant.system or "", differs=variant.differs, models=models))
    return found


def _evaluations(plan: _Plan, trained: Sequence[Trained], run: TrackedRun, troubles: list[Trouble]) -> list[Staged]:
    """Every situation with everyone who could be scored in it."""
    found = []
    for name, condition, bench in plan.situations():
        evaluated: dict[str, dict[int, Evaluation]] = {}
        for arm in trained:
            for seed, model in arm.models.items():
                try:
                    evaluated.setdefault(arm.name, {})[seed] = bench.evaluate(model, condition, run)
                except Exception as error:
                    log.exception("%s, seed %d, %s", arm.name, seed, name)
                    troubles.append(_trouble(arm.name, name, seed, error))
                progress.advance(STAGE, 1, text=f"scored: {arm.name}, {name}")
        whole = {arm: done for arm, done in evaluated.items() if len(done) == len(_models(trained, arm))}
        split = condition.split or plan.terms.split
        found.append(Staged(name=name, dataset=bench.contest.dataset, root=bench.root, split=split, evaluated=whole))
    return found


def _models(trained: Sequence[Trained], name: str) -> dict[int, TrainedModel]:
    return next(dict(one.models) for one in trained if one.name == name)


def _trouble(variant: str, situation: str, seed: int, error: Exception) -> Trouble:
    return Trouble(variant=variant, situation=situation, seed=seed, reason=f"{type(error).__name__}: {error}")


def _called(bench: Bench) -> str:
    return dataset_name(bench.root, bench.contest.dataset)


def _plan(asked: Experiment, contests: list[Contest], config: ExperimentConfig) -> _Plan:
    """Raises ValueError for what the experiment cannot be run with."""
    name, terms = asked.about.name, config.terms
    _check(asked, contests, config)
    encoders = asked.encoders if terms.encoders is None else terms.encoders
    shared = Terms(**{**terms.__dict__, "encoders": encoders})
    plan = _Plan(
        experiment=asked,
        terms=shared,
        benches=tuple(Bench(contest, shared) for contest in contests),
        variants=_chosen(asked.variants_of(config.systems), config.only),
        conditions=asked.conditions_of(config.kinds, config.levels),
    )
    for variant in plan.variants:
        shared.training_of(variant, terms.seeds[0])  # a setting that there is not is told before anything is trained
    splits: tuple[Split, ...] = tuple(dict.fromkeys(("train", "dev", terms.split)))
    for bench in plan.benches:
        bench.check(splits)
    if asked.needs_unseen_methods:
        _check_methods(name, contests[0], terms.split)
    return plan


def _chosen(variants: tuple[Variant, ...], only: tuple[str, ...]) -> tuple[Variant, ...]:
    """Those that are wanted, in the experiment's order. Raises ValueError for one that there is not."""
    names = [one.name for one in variants]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ValueError(f"no variant {unknown[0]!r}; there are {'; '.join(names)}")
    return tuple(one for one in variants if not only or one.name in only)


def _check(asked: Experiment, contests: list[Contest], config: ExperimentConfig) -> None:
    name = asked.about.name
    if asked.crosses_datasets and len(contests) < 2:
        raise ValueError(f"{name} needs two datasets or more, got {len(contests)}; name each with its folder")
    if not asked.crosses_datasets and len(contests) != 1:
        raise ValueError(f"{name} is about one dataset, got {len(contests)}; run it once for each")
    if len({(one.dataset, one.root) for one in contests}) < len(contests):
        raise ValueError("name each dataset once")
    if config.systems and not asked.is_over_systems:
        raise ValueError(f"{name} is about {asked.variants[0].system}; leave out the other systems")
    if (config.kinds or config.levels) and not asked.kinds:
        raise ValueError(f"{name} perturbs nothing; leave out kinds and levels")
    if config.terms.tuning and not any(one.tuning is not None for one in asked.variants):
        raise ValueError(f"{name} tunes no encoder; leave out how to")
    if config.terms.epochs is not None and asked.sets_epochs:
        raise ValueError(f"{name} asks how long to train, and sets the epochs itself; leave them out")


def _check_methods(name: str, contest: Contest, split: Split) -> None:
    """Raises ValueError where the split that is scored on holds no forgery method of its own."""
    videos = read_dataset(contest.dataset, contest.root).videos
    methods = {
        part: {method for v in videos if v.split == part and v.generator for method in v.generator.split("+")}
        for part in SPLITS
    }
    if not methods[split] - methods["train"]:
        raise ValueError(
            f"{name} needs a {split} split forged by methods that the train split lacks, and {contest.root} has none; "
            "make one with `iamsb forge MEDIA OUT --preset unseen-methods`"
        )
