"""Inside a retraining: the test sets, what changed since the champion, whether the new model replaces it, the page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import task

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.digest import digest, plain
from iamsb_core.manifest import Manifest, Split
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.promotion import Decision, JudgedSet, PromotionRule, decide
from iamsb_core.report.retraining import DataChanges, RetrainReport, render_retraining
from iamsb_core.training.model_folder import ModelCard
from storage.corrections import MANIFEST_FILE
from storage.home import Home
from storage.prediction_store import PredictionStore
from storage.refs import ManifestRef, ModelRef
from storage.staging import write_atomically
from storage.tracking import start_run
from tasks.features import take_stock
from tasks.models import joined
from tasks.pages import log_page_and_numbers, write_page_and_numbers
from tasks.scoring import Evaluation
from tasks.train_job import TrainJob, code_digest


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A dataset by its layout and place."""

    dataset: str
    root: Path

    @property
    def is_there(self) -> bool:
        """False where there is nothing yet, and for an empty manifest: the desk's before its first full correction."""
        manifest = self.root / MANIFEST_FILE if self.root.is_dir() else self.root
        empty = manifest.suffix == ".jsonl" and manifest.is_file() and not manifest.read_text().strip()
        return self.root.exists() and not empty


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """A split that models are compared on."""

    __test__ = False  # no test of pytest's

    dataset: str
    root: Path
    split: Split = "test"

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.root.name} {self.split}"

    def manifest(self) -> Manifest:
        """Its labelled videos, read anew."""
        return read_dataset(self.dataset, self.root).split(self.split).labelled()


@task
def choose_test_sets(dataset: str, root: Path, given: tuple[TestSet, ...]) -> tuple[TestSet, ...]:
    """Those given, else the dataset's own test split if it has labels, else its dev split.

    Raises ValueError for one without a labelled video, or where two have the same name in the results.
    """
    own = tuple(TestSet(dataset=dataset, root=root, split=split) for split in ("test", "dev"))
    chosen = given or tuple(one for one in own if one.manifest().videos)[:1]
    if not chosen:
        raise ValueError(
            f"{dataset} at {root} has no labelled test or dev video to compare models on; name others in `test_sets`"
        )
    for one in chosen:
        if not one.manifest().videos:
            raise ValueError(f"the test set {one.name} at {one.root} has no labelled video; name another split")
    return tuple(dict.fromkeys(chosen))


def comparison_of(
    job: TrainJob, champion: ModelRef, test_sets: Sequence[TestSet], rule: PromotionRule, protocol: str
) -> str:
    """The digest of everything that a comparison's outcome rests on."""
    truths = [ManifestRef.of(one.manifest()).sha256 for one in test_sets]
    return digest([job.recipe, champion.sha256, truths, plain(rule), protocol])


@task
def judge(
    test_sets: Sequence[TestSet],
    ours: Sequence[Evaluation],
    theirs: Sequence[Evaluation],
    *,
    rule: PromotionRule,
    protocol: str,
    home: Home,
) -> Decision:
    """Compare candidate and champion on every test set, from what they predicted."""
    store = PredictionStore(home.predictions)
    sets = []
    for one, our, their in zip(test_sets, ours, theirs, strict=True):
        candidate, champion = (store.read(each.predictions).predictions for each in (our, their))
        durations = {name: clip.duration_seconds for name, clip in {**champion, **candidate}.items()}
        labels = Labels.of_manifest(one.manifest().with_durations(durations))
        sets.append(JudgedSet(name=one.name, labels=labels, candidate=candidate, champion=champion))
    return decide(sets, rule, protocol)


@task
def note_data(job: TrainJob) -> dict[str, str]:
    """The digest of each video that is trained on, by id; kept, so that a later retraining can tell what changed."""
    stocks = [take_stock.fn(one.dataset, one.root, job.home, ("train", "dev")) for one in (job, *job.more)]
    videos = joined([stock.manifest for stock in stocks]).videos
    found = {video.video_id: digest(replace(video, video_id="")) for video in videos}
    write_atomically(_data_file(job.home, job.recipe), json.dumps(found, indent=0, sort_keys=True).encode())
    return found


def changes_since(home: Home, champion: ModelCard | None, now: Mapping[str, str]) -> DataChanges:
    """What differs from the champion's data, as far as that was noted."""
    known = {} if champion is None else champion.training
    path = _data_file(home, str(known.get("recipe", known.get("job", "unknown"))))
    before: dict[str, str] | None = json.loads(path.read_text()) if path.is_file() else None
    return DataChanges.between(before, now)


def other_settings(job: TrainJob, champion: ModelCard | None) -> tuple[str, ...]:
    """What differs from how the champion was trained, beside the data, in words."""
    if champion is None:
        return ()
    before = {
        "system": champion.system,
        **_flat("system_config", champion.system_config),
        **_flat("training", champion.training.get("config", {})),
        "audio encoder": champion.audio_encoder.identity[:12],
        "visual encoder": champion.visual_encoder.identity[:12],
        "code": str(champion.training.get("code", "unknown"))[:12],
    }
    now = {
        "system": job.system,
        **_flat("system_config", job.system_config),
        **_flat("training", plain(job.training)),
        "audio encoder": job.audio.identity[:12],
        "visual encoder": job.visual.identity[:12],
        "code": code_digest()[:12],
    }
    return tuple(
        f"{name}: {before.get(name, 'not set')} -> {now.get(name, 'not set')}"
        for name in dict.fromkeys((*before, *now))
        if before.get(name) != now.get(name)
    )


def _flat(name: str, value: Any) -> dict[str, str]:
    """Nested JSON data by dotted names."""
    if isinstance(value, dict):
        return {key: text for part, inner in value.items() for key, text in _flat(f"{name}.{part}", inner).items()}
    return {name: str(value)}


def _data_file(home: Home, recipe: str) -> Path:
    return home.runs / "data" / f"{recipe[:16]}.json"


@task
def write_page(home: Home, report: RetrainReport, model: ModelRef) -> Path:
    """The page, and its numbers beside it and in MLflow; where the page lies."""
    folder = home.reports / f"retraining-{datetime.now(UTC):%Y%m%d-%H%M%S}-version-{model.version}"
    page, numbers = folder / "retraining.html", folder / "retraining.json"
    write_page_and_numbers(page, render_retraining(report), numbers, plain(report))
    with start_run(home, "retrain", tags={"kind": "retrain", "iamsb.outcome": report.outcome}) as run:
        run.set_tags({"iamsb.model.sha256": model.sha256, "iamsb.model.run_id": model.run_id})
        if report.decision is not None:
            done = report.decision
            metrics = {"candidate": done.candidate, "champion": done.champion}
            run.log_metrics({**metrics, "difference": done.difference.estimate, "p_value": done.difference.p_value})
        log_page_and_numbers(run, page, numbers)
    return page
