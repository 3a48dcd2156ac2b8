"""From a flow run's page to the run in MLflow that it makes."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.tracking import TrackedRun

log = logging.getLogger(__name__)

MLFLOW_PAGE_VARIABLE = "IAMSB_MLFLOW_PAGE"
"""where MLflow's pages are, as `iamsb up` started them, while runs are written to the database beside them"""
ARTIFACT_KEY = "mlflow-run"


def run_page(run: TrackedRun) -> str | None:
    """The address of a run's page; None where nothing shows it."""
    uri = run.client.tracking_uri
    base = uri if uri.startswith(("http:", "https:")) else os.environ.get(MLFLOW_PAGE_VARIABLE)
    if not base:
        return None
    experiment = run.client.get_run(run.run_id).info.experiment_id
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run.run_id}"


def link_run(run: TrackedRun) -> None:
    """A link to a run on the page of the Prefect run that makes it; nothing outside one, or where it has no page."""
    from prefect.artifacts import create_link_artifact  # noqa: PLC0415 - a second to import
    from prefect.context import FlowRunContext, TaskRunContext  # noqa: PLC0415

    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        return
    page = run_page(run)
    if page is None:
        return
    try:
        create_link_artifact(page, f"MLflow run {run.run_id}", key=ARTIFACT_KEY, description="numbers and files")
    except Exception as error:  # whatever becomes of the page, the work goes on
        log.warning("the run's page has no link to %s: %s", page, error)
