"""The page of a dataset's check in a real browser: drawn as its tables say, silent, fit for a phone and for paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from iamsb_core.datasets.validation import ValidationReport, validate
from iamsb_core.manifest import SPLITS, Forgery, Manifest, Modality, VideoRecord
from iamsb_core.report.dataset_page import render_dataset_page
from iamsb_core.timeline import Segment

pytestmark = pytest.mark.browser
LONG_NAME = "a-name-without-any-place-to-break-it-" * 6


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ValidationReport:
    """A dataset with some of everything."""
    rng = np.random.default_rng(0)
    streams = (Modality(0), Modality.AUDIO, Modality.VISUAL, Modality.AUDIO | Modality.VISUAL)
    videos = []
    for index in range(200):
        forged = streams[index % 4]
        start = float(rng.uniform(0, 8))
        videos.append(
            VideoRecord(
                video_id=f"{index}" if index else LONG_NAME,
                path=Path(f"{index}.mp4"),
                split=SPLITS[index % 3],
                duration_seconds=8.0,
                forgeries=(Forgery(Segment(start, start + float(rng.uniform(0.05, 2))), forged),) if forged else (),
                identity=f"person {index % 90}",
                generator=("vits", LONG_NAME, "<script>alert(1)</script>")[index % 3] if forged else None,
            )
        )
    root = tmp_path_factory.mktemp("data")
    return validate(Manifest("lavdf", root, tuple(videos), ("3 entries were odd; mended",)))


@pytest.fixture
def opened(browser: Any, report: ValidationReport, tmp_path: Path) -> Iterator[Callable[[int], Any]]:
    """The page at a width; at the end it must have been silent."""
    file = tmp_path / "report.html"
    file.write_text(render_dataset_page(report), encoding="utf-8")
    complaints: list[str] = []
    requests: list[str] = []
    pages = []

    def open_(width: int) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield open_
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()] * len(pages)
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_runs_over_the_edge(opened: Callable[[int], Any], width: int) -> None:
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cards = page.locator(".card").evaluate_all("all => all.map(e => [e.scrollWidth, e.clientWidth])")
    assert all(wanted <= there for wanted, there in cards)


def test_bars_are_as_wide_and_columns_as_high_as_their_numbers(
    opened: Callable[[int], Any], report: ValidationReport
) -> None:
    page = opened(1280)
    box = "e => { const box = e.getBoundingClientRect(); return [e.dataset.count, box.width, box.height]; }"
    shares = page.locator('.share[data-split="train"]').evaluate_all(f"all => all.map({box})")
    pixels = sum(width for _, width, _ in shares)
    (train,) = [size for size in report.splits if size.split == "train"]
    for count, width, _ in shares:
        assert width / pixels == pytest.approx(int(count) / train.num_videos, abs=0.01)
    for histogram in report.histograms:
        if histogram.named:
            continue
        bars = page.locator(f'.bar[data-title="{histogram.title}"]').evaluate_all(f"all => all.map({box})")
        counts = [count for series in histogram.series.values() for count in series]
        highest = max(height for _, _, height in bars)
        for (_, _, height), count in zip(bars, counts, strict=True):
            assert height / highest == pytest.approx(count / max(counts), abs=0.02)


def test_the_keyboard_opens_the_places_of_a_finding(opened: Callable[[int], Any]) -> None:
    page = opened(1280)
    closed = page.locator(".warning details").first
    assert not closed.evaluate("e => e.open")
    closed.locator("summary").focus()
    page.keyboard.press("Enter")
    assert closed.evaluate("e => e.open")
    assert page.locator(".error details").first.evaluate("e => e.open")


def test_on_paper_every_place_is_shown_and_no_plot_is_cut_in_two(opened: Callable[[int], Any]) -> None:
    page = opened(1280)
    places = page.locator(".warning details ol").first
    assert places.bounding_box()["height"] == 0
    page.emulate_media(media="print")
    assert places.bounding_box()["height"] > 0
    styles = page.locator(".plot-card").evaluate_all("all => all.map(e => getComputedStyle(e).breakInside)")
    assert set(styles) == {"avoid"}
    assert len(page.pdf(format="A4")) > 10_000
