"""Train and score variants on a dataset under shared terms; the general way to run an ablation of any system.

Trainings are found again by their content, so that experiments share those that they have in common.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flows.evaluate import evaluate
from flows.extract import Extraction, extract
from flows.train import TrainFlowConfig, job_of
from flows.tune import TuneFlowConfig, tune
from flows.variants import Condition, Variant, check_terms
from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.manifest import Split
from iamsb_core.training.config import TrainConfig
from iamsb_core.training.recipes import changed
from iamsb_core.training.tuning_config import TuneConfig
from storage.home import Home
from storage.tracking import TrackedRun
from tasks.features import check_truth
from tasks.fitting import TrainedModel
from tasks.models import train_system
from tasks.scoring import Evaluation


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all trainings of a study share: an experiment's variants, a comparison's systems, a sweep's points."""

    seeds: tuple[int, ...] = (0,)
    size: str = "auto"
    """`paper` or `compact`; auto: `paper` on a GPU, `compact` on a CPU"""
    epochs: int | None = None
    """None: those of each system's schedule"""
    num_clips: int | None = None
    """of the train split, at most; None: all"""
    encoders: str | None = None
    """None: the experiment's own"""
    split: Split = "test"
    protocol: str = "lavdf"
    device: str = "auto"
    tuning: dict[str, Any] = field(default_factory=dict)
    """fields of `TuneConfig` for every variant whose encoders learn, where it does not set them itself"""

    def __post_init__(self) -> None:
        check_terms(self.seeds, self.protocol)

    def training_of(self, variant: Variant, seed: int) -> TrainFlowConfig:
        """One training of a variant, with nothing left open but what its encoders will have learned.

        Raises ValueError for a setting that there is not, and for encoders to be tuned that cannot be.
        """
        assert variant.system is not None
        encoders = variant.encoders or self.encoders
        usual = TrainFlowConfig(
            system=variant.system,
            size=self.size,
            system_config=dict(variant.system_config),
            encoders="handcrafted" if encoders is None else encoders,
            device=self.device,
            num_clips=self.num_clips,
            hidden=variant.hidden,
        ).resolved()
        schedule = plain(usual.training) | ({} if self.epochs is None else {"epochs": self.epochs})
        settings = changed(schedule, variant.training) | {"seed": seed}
        _ = self.tuning_of(variant, seed, usual)
        return replace(usual, training=parse(TrainConfig, settings, where=f"schedule of {variant.name}"))

    def tuning_of(self, variant: Variant, seed: int, training: TrainFlowConfig) -> TuneFlowConfig | None:
        """How the encoders of a variant's training learn before it, on no other clips; None where they do not."""
        if variant.tuning is None:
            return None
        tuning = parse(TuneConfig, {**self.tuning, **variant.tuning, "seed": seed}, where=f"tuning of {variant.name}")
        if self.num_clips is not None:
            tuning = replace(tuning, num_clips=min(self.num_clips, tuning.num_clips))
        return TuneFlowConfig(encoders=training.encoders, tuning=tuning, device=training.device)


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One dataset that systems or variants are compared on."""

    root: Path
    dataset: str = "lavdf"


class Bench:
    """One dataset that variants are trained or scored on: what is extracted once is there for all of them."""

    def __init__(self, contest: Contest, terms: Terms) -> None:
        self.contest, self.terms = contest, terms
        self._extracted: dict[str, Extraction] = {}

    def prepare(self, variant: Variant) -> None:
        """Extract what a variant's training reads, so that trouble with the data is told before anything is trained."""
        self._features(self.terms.training_of(variant, self.terms.seeds[0]))

    def train(self, variant: Variant, seed: int, run: TrackedRun | None = None) -> TrainedModel:
        """Train a variant here, and what its encoders are to learn before it, unless that was done before.

        run: what is trained now becomes a part of it in MLflow; what was trained before stays where it is.
        """
        config = self.terms.training_of(variant, seed)
        tuning = self.terms.tuning_of(variant, seed, config)
        if tuning is not None:
            config = replace(config, encoders=tune(self.contest.root, self.contest.dataset, tuning).encoders)
        done = train_system(job_of(self.contest.dataset, config, self._features(config), Home.current()))
        if run is not None and not done.reused:
            run.adopt(done.run_id)
        return done

    def evaluate(self, model: TrainedModel, condition: Condition, run: TrackedRun) -> Evaluation:
        """Score a trained model here, as a part of the run."""
        return evaluate(
            self.contest.root,
            self.contest.dataset,
            model.model.uri,
            split=condition.split or self.terms.split,
            protocol=self.terms.protocol,
            device=self.terms.device,
            baselines=False,
            perturb=condition.perturb,
            hidden=condition.hidden,
            changes=dict(condition.changes),
            parent_run_id=run.run_id,
        )

    def check(self, splits: tuple[Split, ...]) -> None:
        """Raises ValueError where the dataset's truth is not fit for it."""
        check_truth(self.contest.dataset, self.contest.root, splits, of_streams=True)

    @property
    def root(self) -> Path:
        return self.contest.root

    def _features(self, config: TrainFlowConfig) -> Extraction:
        if config.encoders not in self._extracted:
            self._extracted[config.encoders] = extract(self.contest.root, self.contest.dataset, config.features)
        return self._extracted[config.encoders]
