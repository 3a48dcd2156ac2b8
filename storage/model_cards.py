"""Where a model's card is kept in MLflow: with the run that trained it, and as its description in the registry.

What a card says is recorded once by whoever measured it: by the training in its run, by every evaluation in its own.
So a card can be written anew at any time from what was recorded, and two evaluations at once do not disturb each other.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from storage.home import Home
from storage.mlflow_setup import EXPERIMENT, connect
from storage.refs import ModelRef
from storage.registry import MODEL_NAME

FOLDER = "model_card"
RECORD = f"{FOLDER}/record.json"
"""what a run has to say for a card: of a training the data and the dev split, of an evaluation its figures"""
MODEL_TAG = "iamsb.model.sha256"
RECORD_TAG = "iamsb.model_card"
"""marks the evaluations that have a record"""
_MOST_EVALUATIONS = 100


def is_tracked(home: Home, ref: ModelRef) -> bool:
    """Whether the run that trained the model is in this tracking store."""
    try:
        return bool(ref.run_id) and connect(home).get_run(ref.run_id) is not None
    except MlflowException:
        return False


def training_record(home: Home, ref: ModelRef) -> dict[str, Any] | None:
    """What the model's training recorded; None where it is older than such records."""
    client = connect(home)
    return _record(client, client.get_run(ref.run_id))


def evaluation_records(home: Home, ref: ModelRef, experiment: str = EXPERIMENT) -> list[dict[str, Any]]:
    """What finished evaluations of the model recorded, the newest first, at most 100."""
    client = connect(home)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    runs = client.search_runs(
        [found.experiment_id],
        f"tags.`{MODEL_TAG}` = '{ref.sha256}' and tags.`{RECORD_TAG}` = 'yes' and attributes.status = 'FINISHED'",
        max_results=_MOST_EVALUATIONS,
        order_by=["attributes.start_time DESC"],
    )
    return [record for record in (_record(client, run) for run in runs) if record is not None]


def publish_card(home: Home, ref: ModelRef, *, markdown: str, html: str, description: str) -> None:
    """Put the card beside the training, and its short form into every registered version of the model."""
    client = connect(home)
    client.log_text(ref.run_id, markdown, f"{FOLDER}/model_card.md")
    client.log_text(ref.run_id, html, f"{FOLDER}/model_card.html")
    for version in client.search_model_versions(f"name = '{MODEL_NAME}' and run_id = '{ref.run_id}'"):
        if version.tags.get("sha256") == ref.sha256:
            client.update_model_version(MODEL_NAME, version.version, description)


def _record(client: MlflowClient, run: Run) -> dict[str, Any] | None:
    """The run's record; None where it has none."""
    if RECORD not in {item.path for item in client.list_artifacts(run.info.run_id, FOLDER)}:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        path = client.download_artifacts(run.info.run_id, RECORD, scratch)
        record: dict[str, Any] = json.loads(Path(path).read_bytes())
    return record
