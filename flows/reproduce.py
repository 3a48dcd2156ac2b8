"""reproduce: IaMSB's ablations and studies, trained and scored under the same conditions -> one page."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.extract import ExtractConfig, Extraction, extract
from flows.train import TrainFlowConfig, job_of
from flows.variants import check_terms
from iamsb_core.digest import digest
from iamsb_core.manifest import Split
from iamsb_core.report.reproduction import Reproduction
from iamsb_core.report.reproduction_page import order_told
from iamsb_core.systems.iamsb.variants import SweepPoints, Variant, variants
from iamsb_core.training.recipes import changed
from storage.home import Home
from storage.tracking import TrackedRun, start_run
from tasks import progress
from tasks.features import check_truth
from tasks.fitting import TrainedModel
from tasks.models import evaluate_model, train_system
from tasks.policy import resolve_device
from tasks.reproducing import Reproduced, VariantOutcome, measure_variants, record
from tasks.scoring import EvaluateJob
from tasks.train_job import checked_system_config

log = logging.getLogger(__name__)
STAGE = "variants"
SYSTEM = "iamsb"
_PARENT = "mlflow.parentRunId"


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

    def of(self, variant: Variant, seed: int) -> TrainFlowConfig:
        """The training of a variant."""
        full = TrainFlowConfig(
            system=SYSTEM,
            size=self.size,
            system_config=self.system_config,
            encoders=self.encoders,
            device=self.device,
        ).resolved()
        assert full.training is not None
        epochs = full.training.epochs if self.epochs is None else self.epochs
        usual = replace(full, training=replace(full.training, epochs=epochs, seed=seed))
        return replace(usual, system_config=changed(usual.system_config, variant.changes))

    @property
    def plan(self) -> tuple[Variant, ...]:
        """The full system first."""
        full = TrainFlowConfig(
            system=SYSTEM, size=self.size, system_config=self.system_config, device=self.device
        ).resolved()
        return variants(checked_system_config(SYSTEM, full.system_config), self.points)


@flow(name="reproduce", flow_run_name="reproduce-{dataset}")
def reproduce(
    root: Path, dataset: str = "lavdf", config: ReproduceConfig = ReproduceConfig(), out: Path | None = None
) -> Reproduced:
    """Train and score every variant; a training that was done before is not done again.

    out: folder for reproduction.html and reproduction.json, one of the home's own if None.
    """
    home, plan = Home.current(), config.plan
    check_truth(dataset, root, ("train", "dev", config.split), of_streams=True)
    first = config.of(plan[0], config.seeds[0])
    assert first.training is not None
    learnt = extract(root, dataset, first.features)
    tested = extract(root, dataset, _as_tested(config, learnt))
    progress.begin(STAGE, len(plan) * len(config.seeds))
    with start_run(home, f"reproduce-{dataset}-{config.split}", tags={"kind": "reproduce"}) as run:
        run.log_config({"dataset": dataset, "root": root, "config": config, "variants": [one.name for one in plan]})
        study = _Study(config, learnt, tested, run)
        outcomes = [one for seed in config.seeds for one in _of_seed(study, plan, seed)]
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


def _as_tested(config: ReproduceConfig, learnt: Extraction) -> ExtractConfig:
    return ExtractConfig(specs=(learnt.audio, learnt.visual), device=config.device, splits=(config.split,))


@dataclass(frozen=True)
class _Study:
    """What every variant of one study shares."""

    config: ReproduceConfig
    learnt: Extraction
    tested: Extraction
    run: TrackedRun

    def trained(self, variant: Variant, seed: int) -> TrainedModel:
        """The variant's own training, under the study's run in MLflow unless an earlier study made it."""
        training = self.config.of(variant, seed)
        done = train_system(job_of(self.learnt.dataset, training, self.learnt, Home.current()))
        if not done.reused:
            self.run.client.set_tag(done.run_id, _PARENT, self.run.run_id)
        return done

    def job(self, variant: Variant, trained: TrainedModel) -> EvaluateJob:
        """How the variant is scored with these weights."""
        return EvaluateJob(
            dataset=self.tested.dataset,
            root=self.tested.root,
            split=self.config.split,
            manifest=self.tested.manifest,
            model=trained.model,
            protocol=self.config.protocol,
            device=resolve_device(self.config.device),
            home=Home.current(),
            baselines=False,
            parent_run_id=self.run.run_id,
            changes={} if variant.trained else variant.changes,
        )


def _of_seed(study: _Study, plan: tuple[Variant, ...], seed: int) -> list[VariantOutcome]:
    """Every variant with one seed; points that are the full system, or share its weights, train nothing."""
    done: dict[str, VariantOutcome] = {}
    outcomes: list[VariantOutcome] = []
    for variant in plan:
        key = digest([variant.changes, variant.trained])
        if key not in done:
            trained = study.trained(variant, seed) if variant.trained else outcomes[0].trained
            evaluated = evaluate_model(study.job(variant, trained))
            done[key] = VariantOutcome(variant=variant, seed=seed, trained=trained, evaluated=evaluated)
        outcomes.append(replace(done[key], variant=variant))
        progress.advance(STAGE, 1, text=f"{variant.name}, seed {seed}")
    return outcomes


def _show(found: Reproduction, page: Path) -> None:
    """The table and the page's place in the run's own page."""
    rows = [{"sweep": one.variant.sweep, "variant": one.variant.name, **one.metrics} for one in found.results]
    create_table_artifact(rows, key="reproduction", description=f"{found.dataset} {found.split}, {found.protocol}")
    create_markdown_artifact(f"{order_told(found)}\n\nBeside the paper: `{page}`", key="reproduction-page")
