"""reproduce: IaMSB's ablations and studies, trained and scored under the same conditions -> one page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.bench import Bench, Contest, Terms
from flows.variants import Condition, Variant, check_terms
from iamsb_core.digest import digest
from iamsb_core.manifest import Split
from iamsb_core.report.reproduction import Reproduction
from iamsb_core.report.reproduction_page import order_told
from iamsb_core.systems.iamsb.variants import FULL, SweepPoints, variants
from iamsb_core.systems.iamsb.variants import Variant as Point
from iamsb_core.training.recipes import changed
from storage.home import Home
from storage.tracking import TrackedRun, start_run
from tasks import progress
from tasks.reproducing import Reproduced, VariantOutcome, measure_variants, record
from tasks.train_job import checked_system_config

STAGE = "variants"
SYSTEM = "iamsb"


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig:
    """Which variants, and under which conditions."""

    points: SweepPoints = field(default_factory=SweepPoints)
    seeds: tuple[int, ...] = (0,)
    size: str = "auto"
    """a preset of IaMSB; auto: `paper` on a GPU, `compact` on a CPU"""
    system_config: dict[str, Any] = field(default_factory=dict)
    """fields of the full system's configuration that differ from its size's"""
    epochs: int | None = None
    """None: those of the size's schedule"""
    encoders: str = "handcrafted"
    protocol: str = "lavdf"
    split: Split = "test"
    device: str = "auto"
    num_replicates: int = 1000
    """of the paired bootstrap; 0 leaves it out"""

    def __post_init__(self) -> None:
        check_terms(self.seeds, self.protocol)

    @property
    def terms(self) -> Terms:
        """What every variant shares."""
        return Terms(
            seeds=self.seeds,
            size=self.size,
            epochs=self.epochs,
            encoders=self.encoders,
            split=self.split,
            protocol=self.protocol,
            device=self.device,
        )

    def variant_of(self, point: Point) -> Variant:
        """How a point of a sweep is trained."""
        changes = changed(self.system_config, point.changes)
        return Variant(name=point.name, system=SYSTEM, system_config=changes)

    @property
    def plan(self) -> tuple[Point, ...]:
        """The full system first."""
        usual = Variant(name=FULL, system=SYSTEM, system_config=self.system_config)
        full = self.terms.training_of(usual, self.seeds[0])
        return variants(checked_system_config(SYSTEM, full.system_config), self.points)


@flow(name="reproduce", flow_run_name="reproduce-{dataset}")
def reproduce(
    root: Path, dataset: str = "lavdf", config: ReproduceConfig = ReproduceConfig(), out: Path | None = None
) -> Reproduced:
    """Train and score every variant; a training that was done before is not done again.

    out: folder for reproduction.html and reproduction.json, one of the home's own if None.
    """
    home, plan, bench = Home.current(), config.plan, Bench(Contest(root=root, dataset=dataset), config.terms)
    first = config.terms.training_of(config.variant_of(plan[0]), config.seeds[0])
    assert first.training is not None
    bench.check(("train", "dev", config.split))
    progress.begin(STAGE, len(plan) * len(config.seeds))
    with start_run(home, f"reproduce-{dataset}-{config.split}", tags={"kind": "reproduce"}) as run:
        run.log_config({"dataset": dataset, "root": root, "config": config, "variants": [one.name for one in plan]})
        outcomes = [one for seed in config.seeds for one in _of_seed(bench, config, plan, seed, run)]
        measured = measure_variants(
            outcomes,
            dataset=dataset,
            root=root,
            split=config.split,
            protocol=config.protocol,
            num_replicates=config.num_replicates,
        )
        found = Reproduction(
            dataset=dataset,
            split=config.split,
            protocol=config.protocol,
            encoders=config.encoders,
            size=first.size,
            epochs=first.training.epochs,
            device=first.device,
            seeds=config.seeds,
            num_clips=measured.num_clips,
            num_forged=measured.num_forged,
            results=measured.results,
            scores=measured.scores,
        )
        folder = home.reports / f"reproduction-{digest([root, dataset, config])[:12]}"
        done = record(run, found, folder if out is None else out)
    _show(found, done.html)
    return done


def _of_seed(
    bench: Bench, config: ReproduceConfig, plan: tuple[Point, ...], seed: int, run: TrackedRun
) -> list[VariantOutcome]:
    """Every point with one seed; those that are the full system, or share its weights, train nothing."""
    done: dict[str, VariantOutcome] = {}
    outcomes: list[VariantOutcome] = []
    for point in plan:
        key = digest([point.changes, point.trained])
        if key not in done:
            trained = bench.train(config.variant_of(point), seed, run) if point.trained else outcomes[0].trained
            evaluated = bench.evaluate(trained, Condition(changes={} if point.trained else point.changes), run)
            done[key] = VariantOutcome(variant=point, seed=seed, trained=trained, evaluated=evaluated)
        outcomes.append(replace(done[key], variant=point))
        progress.advance(STAGE, 1, text=f"{point.name}, seed {seed}")
    return outcomes


def _show(found: Reproduction, page: Path) -> None:
    """The table and the page's place in the run's own page."""
    rows = [{"sweep": one.variant.sweep, "variant": one.variant.name, **one.metrics} for one in found.results]
    create_table_artifact(rows, key="reproduction", description=f"{found.dataset} {found.split}, {found.protocol}")
    create_markdown_artifact(f"{order_told(found)}\n\nBeside the paper: `{page}`", key="reproduction-page")
