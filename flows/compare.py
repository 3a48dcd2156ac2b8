"""compare: every system on every dataset with every seed, under the same conditions -> one page of results."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.bench import Bench, Contest, Terms
from flows.train import size_on
from flows.variants import Condition, Variant, as_it_comes, check_terms
from iamsb_core.digest import digest
from iamsb_core.manifest import Split
from iamsb_core.report.arena import Arena, DatasetArena, Failure
from iamsb_core.systems.base import system_names
from iamsb_core.training.recipes import training_recipe
from storage.home import Home
from storage.tracking import TrackedRun, start_run
from tasks import progress
from tasks.comparing import Comparison, SystemRuns, record, stand
from tasks.policy import resolve_device

log = logging.getLogger(__name__)
STAGE = "trainings"


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

    @property
    def terms(self) -> Terms:
        """What everyone shares, with nothing left open: all train for the same number of epochs."""
        device = resolve_device(self.device)
        size = size_on(device) if self.size == "auto" else self.size
        return Terms(
            seeds=self.seeds,
            size=size,
            epochs=training_recipe(size).epochs if self.epochs is None else self.epochs,
            encoders=self.encoders,
            split=self.split,
            protocol=self.protocol,
            device=device,
        )


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
    home, terms, everyone = Home.current(), config.terms, [as_it_comes(name) for name in config.everyone]
    for variant in everyone:
        terms.training_of(variant, terms.seeds[0])  # a setting that there is not is told before anything is trained
    failures: list[Failure] = []
    progress.begin(STAGE, len(contests) * len(everyone) * len(terms.seeds))
    with start_run(home, "compare", tags={"kind": "compare"}) as run:
        run.log_config({"contests": contests, "config": config, "systems": config.everyone})
        found = [_contest(Bench(contest, terms), everyone, run, failures) for contest in contests]
        result = Arena(
            protocol=terms.protocol,
            encoders=config.encoders,
            epochs=terms.epochs,
            device=terms.device,
            datasets=tuple(arena for arena in found if arena is not None),
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
    bench: Bench, everyone: Sequence[Variant], run: TrackedRun, failures: list[Failure]
) -> DatasetArena | None:
    """All systems on one dataset; None where nobody has a result."""
    terms, name = bench.terms, bench.contest.dataset
    bench.check(("train", "dev", terms.split))
    bench.prepare(everyone[0])
    runs = []
    for variant in everyone:
        done = []
        for seed in terms.seeds:
            try:
                trained = bench.train(variant, seed, run)
                done.append((seed, trained, bench.evaluate(trained, Condition(), run)))
            except Exception as error:
                log.exception("%s, seed %d, on %s", variant.name, seed, name)
                reason = f"{type(error).__name__}: {error}"
                failures.append(Failure(dataset=name, system=variant.name, seed=seed, reason=reason))
            progress.advance(STAGE, 1, text=f"{variant.name}, seed {seed}")
        if done:
            seeds, trained, evaluated = zip(*done, strict=True)
            runs.append(
                SystemRuns(system=variant.name, size=terms.size, seeds=seeds, trained=trained, evaluated=evaluated)
            )
    if not runs:
        return None
    return stand(runs, dataset=name, root=bench.root, split=terms.split, protocol=terms.protocol, device=terms.device)


def _show(arena: Arena, page: Path) -> None:
    """The tables and the page's place in the run's own page."""
    for one in arena.datasets:
        rows = [
            {"system": standing.system, **{name: found.estimate for name, found in standing.intervals.items()}}
            for standing in one.standings
        ]
        create_table_artifact(rows, key="arena", description=f"{one.dataset} {one.split}, {arena.protocol}")
    create_markdown_artifact(f"Side by side: `{page}`", key="arena-page")
