"""What an extraction shows while it runs: on the run's page, and in MLflow."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

from storage.home import Home
from storage.mlflow_setup import connect
from tasks import progress
from tasks.extraction_record import EXPERIMENT, NUMBERS_KEY, PROGRESS_KEY, recorded
from tasks.jobs import BadVideo
from tasks.links import ARTIFACT_KEY, MLFLOW_PAGE_VARIABLE
from tasks.logs import ids_now, log_ids

pytestmark = pytest.mark.usefixtures("prefect_server", "home")

PAGE = "http://127.0.0.1:5999"


def artifacts_of(run: object) -> dict[str, SimpleNamespace]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        return {one.key: one for one in client.read_artifacts(artifact_filter=wanted)}


def records(home: Home) -> tuple[MlflowClient, list[object]]:
    client = connect(home)
    found = client.get_experiment_by_name(EXPERIMENT)
    return client, [] if found is None else list(client.search_runs([found.experiment_id]))


@flow
def half_cached(num_there: int, fails: bool = False) -> str:
    """Four clips, of which some were there; one cannot be used."""
    from prefect.runtime import flow_run  # noqa: PLC0415

    tally = progress.begin("extract", 4, metered=True)
    with recorded(Home.current(), "tiny", tally, {"dataset": "tiny", "device": "cpu"}) as record:
        progress.advance("extract", num_there, cached=num_there)
        for number in range(4 - num_there):
            progress.advance("extract", quarantined=int(number == 0), media_seconds=6.0)
        if fails:
            record.tell()
            raise OSError("disk full")
        bad = BadVideo(video_id="v", path="v.mp4", kind="truncated", reason="ends early")
        record.finish([bad] if num_there < 4 else [])
    return str(flow_run.id)


def test_progress_numbers_and_a_link_are_on_the_runs_page(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(MLFLOW_PAGE_VARIABLE, PAGE)
    found = artifacts_of(half_cached(2))
    assert set(found) == {PROGRESS_KEY, NUMBERS_KEY, ARTIFACT_KEY}
    assert float(found[PROGRESS_KEY].data) == 100.0
    assert found[PROGRESS_KEY].description.startswith("tiny: 4 of 4 clips, ")
    numbers = {row["what"]: row["value"] for row in json.loads(found[NUMBERS_KEY].data)}
    assert (numbers["share_cached"], numbers["share_quarantined"], numbers["clips_done"]) == (0.5, 0.25, 4.0)

    client, (run,) = records(Home.current())
    assert found[ARTIFACT_KEY].data.startswith(f"[MLflow run {run.info.run_id}]({PAGE}/#/experiments/")
    assert found[ARTIFACT_KEY].data.rstrip(")").endswith(f"/runs/{run.info.run_id}")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["share_cached"] == 0.5
    assert run.data.metrics["hours_per_hour"] > 0
    assert run.data.params["dataset"] == "tiny"
    bad = json.loads(Path(client.download_artifacts(run.info.run_id, "bad_videos.json")).read_text())
    assert bad[0]["reason"] == "ends early"


def test_what_was_all_cached_leaves_no_run_in_mlflow():
    found = artifacts_of(half_cached(4))
    assert set(found) == {PROGRESS_KEY, NUMBERS_KEY}
    assert not Home.current().mlflow_database.exists()


def test_a_failed_extraction_has_a_failed_run():
    with pytest.raises(OSError, match="disk full"):
        half_cached(0, fails=True)
    _, (run,) = records(Home.current())
    assert run.info.status == "FAILED"
    assert run.data.metrics["clips_done"] == 4.0


def test_a_tracking_store_that_is_away_costs_no_extraction(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = artifacts_of(half_cached(2))
    assert float(found[PROGRESS_KEY].data) == 100.0
    told = [line for line in caplog.messages if "cannot be told of this extraction" in line]
    assert len(told) == 1, "once, and not every ten seconds"
    assert told[0].startswith("MLflow cannot be told of this extraction, which goes on: no MLflow server answers")


@task
def ids_in_a_task() -> dict[str, str]:
    with log_ids(shard="abc"):
        return ids_now()


@flow(flow_run_name="tonight")
def ids_in_a_flow() -> tuple[dict[str, str], dict[str, str]]:
    return ids_now(), ids_in_a_task()


def test_lines_name_prefects_run_and_task():
    of_flow, of_task = ids_in_a_flow()
    assert (of_flow["flow"], of_flow["run_name"]) == ("ids-in-a-flow", "tonight")
    assert of_task["run"] == of_flow["run"]
    assert of_task["task_run_name"].startswith("ids_in_a_task")
    assert of_task["shard"] == "abc"
    assert ids_now() == {}
