"""The index of many reports in a real browser: sorts by mouse and keyboard, silent on the network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iamsb_core.report.overview import OverviewRow, write_overview

pytestmark = pytest.mark.browser


def row(name: str, score: float | None, seconds: float) -> OverviewRow:
    return OverviewRow(
        video=Path("/videos") / name,
        state="failed" if score is None else "done",
        decision="" if score is None else "forged",
        clip_score=score,
        duration_seconds=seconds,
        segments={"audio": ((1.0, 2.0, 0.9),), "visual": (), "fused": ()},
        warnings=("The sound is silent.",),
        report=None,
        error="no sound and no picture" if score is None else "",
    )


def test_the_table_sorts_and_asks_the_network_for_nothing(browser: Any, tmp_path: Path):
    rows = [row("clip2.mp4", 0.3, 60.0), row("clip10.mp4", 0.9, 5.0), row("broken.mp4", None, 0.0)]
    made = write_overview(tmp_path, rows, model="m", created=datetime(2026, 2, 3, tzinfo=UTC))
    complaints: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 700})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(made.html.as_uri())

    def names() -> list[str]:
        return page.locator("tbody th > bdi").all_inner_texts()

    assert names() == ["clip2.mp4", "clip10.mp4", "broken.mp4"]
    page.get_by_role("button", name="Score").click()
    assert names() == ["clip10.mp4", "clip2.mp4", "broken.mp4"], "best first"
    page.get_by_role("button", name="Video").focus()
    page.keyboard.press("Enter")
    assert names() == ["broken.mp4", "clip2.mp4", "clip10.mp4"], "numbers in names count as numbers"
    page.keyboard.press("Enter")
    assert names() == ["clip10.mp4", "clip2.mp4", "broken.mp4"]
    assert page.locator('th[aria-sort="descending"]').inner_text().startswith("Video")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
