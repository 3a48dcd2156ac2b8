"""The Prefect task that reports on videos, with the page over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from iamsb_core.localizer import Localizer
from iamsb_core.report.overview import Overview, OverviewRow, write_overview
from storage.home import Home
from storage.registry import resolve_model
from tasks import progress
from tasks.policy import NUM_RETRIES, PREDICT_TIMEOUT_SECONDS, RETRY_DELAYS, worth_retrying
from tasks.reporting import Localized, ReportOptions, examine

STAGE = "videos"


@task(
    retries=NUM_RETRIES,
    retry_delay_seconds=RETRY_DELAYS,
    retry_condition_fn=worth_retrying,
    timeout_seconds=PREDICT_TIMEOUT_SECONDS,
)
def localize_videos(
    home: Home, uri: str, places: dict[Path, Path], device: str, options: ReportOptions
) -> tuple[Localized, ...]:
    """Report on each video, with the model and its encoders loaded once."""
    folder, ref = resolve_model(home, uri)
    localizer = Localizer.load(
        folder,
        device=device,
        thresholds=options.thresholds,
        false_alarms_per_hour=options.false_alarms_per_hour,
        uri=ref.uri,
        run_id=ref.run_id,
    )
    progress.begin(STAGE, len(places), metered=True)
    done = []
    for one in examine(localizer, places, options, home.work / "decoded"):
        done.append(one)
        seconds = 0.0 if one.reused else one.duration_seconds
        is_bad = one.state == "failed"
        progress.advance(STAGE, cached=int(one.reused), quarantined=int(is_bad), media_seconds=seconds)
    lines = [f"- {one.error}" if one.error else f"- `{one.video}`: {one.decision} {one.report_html}" for one in done]
    create_markdown_artifact("\n".join(lines), key="localized", description=f"{len(done)} videos")
    return tuple(done)


@task
def write_summary(folder: Path, model: str, done: Sequence[Localized]) -> Overview:
    """summary.json, summary.csv and index.html beside the reports."""
    return write_overview(folder, [_row(one) for one in done], model=model, created=datetime.now().astimezone())


def _row(one: Localized) -> OverviewRow:
    return OverviewRow(
        video=one.video,
        state=one.state,
        decision=one.decision,
        clip_score=one.clip_score if one.state == "done" else None,
        duration_seconds=one.duration_seconds,
        segments={"audio": one.audio, "visual": one.visual, "fused": one.fused},
        warnings=one.warnings,
        report=None if one.report_html is None else one.report_html.parent,
        error=one.error,
    )
