"""localize: videos -> reports."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.evaluate import CHAMPION
from iamsb_core.report import Thresholds
from storage.home import Home
from tasks.models import localize_videos
from tasks.policy import resolve_device
from tasks.reporting import Localized, report_folders


@flow(name="localize")
def localize(
    videos: list[Path],
    model: str = CHAMPION,
    out: Path | None = None,
    device: str = "auto",
    thresholds: Thresholds | None = None,
) -> tuple[Localized, ...]:
    """Report when, and in which stream, videos were forged. Raises RuntimeError where none could be examined."""
    home = Home.current()
    if not videos:
        raise ValueError("give at least one video")
    missing = [video for video in videos if not video.is_file()]
    if missing:
        raise ValueError(f"no file {missing[0]}" + (f", nor {len(missing) - 1} others" if missing[1:] else ""))
    places = report_folders([video.absolute() for video in videos], out, home.root / "reports")
    done = localize_videos(home, model, places, resolve_device(device), thresholds)
    if all(one.state == "failed" for one in done):
        raise RuntimeError(f"none of {len(done)} videos could be examined; {done[0].video}: {done[0].error}")
    return done
