"""localize: videos -> reports."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.evaluate import CHAMPION
from iamsb_core.report import Thresholds
from iamsb_core.report.exports import export_formats
from iamsb_core.report.verdict import FALSE_ALARMS_PER_HOUR
from storage.home import Home
from tasks.localization import localize_videos, write_summary
from tasks.media_inputs import find_videos, report_folders
from tasks.policy import resolve_device
from tasks.reporting import Localized, ReportOptions


@flow(name="localize")
def localize(
    videos: list[Path],
    model: str = CHAMPION,
    out: Path | None = None,
    device: str = "auto",
    thresholds: Thresholds | None = None,
    *,
    recursive: bool = False,
    exports: tuple[str, ...] = (),
    false_alarms_per_hour: float = FALSE_ALARMS_PER_HOUR,
    embed_video: bool = False,
    again: bool = False,
) -> tuple[Localized, ...]:
    """Report when, and in which stream, videos were forged: files, folders and patterns.

    A video whose report is there for the same bytes, model and settings is examined `again` only if told so. Several
    videos get summary.json, summary.csv and index.html too. Raises RuntimeError where none could be examined.
    """
    home = Home.current()
    if not videos:
        raise ValueError("give at least one video")
    export_formats(exports)
    found = find_videos(videos, recursive=recursive)
    alone = len(videos) == 1 and videos[0].is_file()
    root = home.reports if out is None else out.absolute()
    places = report_folders(found, None if out is None else root, root, alone=alone)
    options = ReportOptions(
        thresholds=thresholds,
        false_alarms_per_hour=false_alarms_per_hour,
        exports=exports,
        embed_video=embed_video,
        again=again,
    )
    done = localize_videos(home, model, places, resolve_device(device), options)
    if not alone:
        write_summary(root, model, done)
    if all(one.state == "failed" for one in done):
        raise RuntimeError(f"none of {len(done)} videos could be examined; {done[0].error}")
    return done
