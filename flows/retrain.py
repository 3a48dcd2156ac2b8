"""retrain: extract what is new -> train -> compare with the champion -> promote the better one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.evaluate import evaluate
from flows.extract import extract
from flows.train import TrainFlowConfig, job_of, train
from storage.home import Home
from tasks.models import champion, find_model, promote

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What came of a retraining."""

    outcome: Literal["no data", "nothing new", "promoted", "kept"]
    message: str
    candidate: str = ""
    """URI of the model trained"""
    candidate_selection: float | None = None
    """mean AP over streams and thresholds on the dev split"""
    champion: str = ""
    """URI of the model that was the champion before"""
    champion_selection: float | None = None


@flow(name="retrain")
def retrain(
    root: Path,
    dataset: str = "lavdf",
    config: TrainFlowConfig = TrainFlowConfig(),  # noqa: B008
) -> Retraining:
    """Train on what the dataset now holds; the alias moves only to a model that is better on the dev split.

    With the champion's own data, configuration and code there is nothing to do.
    """
    done = _retrain(root, dataset, config)
    log.info("%s: %s", done.outcome, done.message)
    create_markdown_artifact(f"**{done.outcome}**: {done.message}", key="retraining")
    return done


def _retrain(root: Path, dataset: str, config: TrainFlowConfig) -> Retraining:
    home = Home.current()
    if not root.exists():
        return Retraining(outcome="no data", message=f"there is no dataset at {root}; give the deployment its `root`")
    config = config.resolved()
    extracted = extract(root, dataset, config.features)
    before = champion(home)
    if before is not None:
        _, card = find_model(home, before.uri)
        if card.training.get("job") == job_of(dataset, config, extracted, home).digest:
            message = f"the champion {before.uri} was trained on this very data"
            return Retraining(outcome="nothing new", message=message, champion=before.uri)
    trained = train(root, dataset, config)
    ours = _selection(root, dataset, trained.model.uri, config.device)
    done = Retraining(
        outcome="promoted", message="the first champion", candidate=trained.model.uri, candidate_selection=ours
    )
    if before is None or before.sha256 == trained.model.sha256:
        return done
    try:
        theirs = _selection(root, dataset, before.uri, config.device)
    except ValueError as error:
        promote(home, trained.model)
        message = f"{trained.model.uri} replaces {before.uri}, which cannot be used any more: {error}"
        return replace(done, champion=before.uri, message=message)
    done = replace(done, champion=before.uri, champion_selection=theirs)
    if ours <= theirs:
        return replace(done, outcome="kept", message=f"{before.uri} stays: {theirs:.4f} against {ours:.4f} on dev")
    promote(home, trained.model)
    return replace(done, message=f"{trained.model.uri} replaces {before.uri}: {ours:.4f} against {theirs:.4f} on dev")


def _selection(root: Path, dataset: str, uri: str, device: str) -> float:
    return evaluate(root, dataset, uri, split="dev", device=device, baselines=False).selection
