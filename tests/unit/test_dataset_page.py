"""The page of a dataset's check: what it says, that it is one file, and that nothing in a dataset can break it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from iamsb_core.datasets.statistics import Histogram
from iamsb_core.datasets.validation import ValidationReport, validate
from iamsb_core.manifest import Forgery, Manifest, Modality, Split, VideoRecord
from iamsb_core.report.charts import HEIGHT, WIDTH, chart
from iamsb_core.report.dataset_page import headline, render_dataset_page
from iamsb_core.timeline import Segment

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202e'


def video(name: str, split: Split = "train", **known: object) -> VideoRecord:
    return VideoRecord(video_id=name, path=Path(name), split=split, duration_seconds=4.0, **known)  # type: ignore[arg-type]


def checked(*videos: VideoRecord, name: str = "generic", repairs: tuple[str, ...] = ()) -> ValidationReport:
    return validate(Manifest(name, Path("/nowhere"), videos, repairs), look_at_files=False)


def forged(start: float, end: float, modality: Modality = Modality.AUDIO) -> tuple[Forgery, ...]:
    return (Forgery(Segment(start, end), modality),)


class Page(HTMLParser):
    """The tags of a page, and whether each that is opened is closed."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_says_what_was_found_and_what_to_do() -> None:
    bad = checked(
        video("a.mp4", forgeries=forged(3.0, 9.0)), video("b.mp4", "test", forgeries=forged(1, 2, Modality.VISUAL))
    )
    assert headline(bad) == "1 kind of error in 2 videos"
    page = Page(render_dataset_page(bad))
    said = " ".join("".join(page.text).split())
    assert "1 forged segment lies outside the clip" in said
    assert "[3.000, 9.000) s lies outside the clip, which lasts 4.000 s" in said
    assert "What to do: correct the segments, or fetch the whole files." in said
    assert [found["data-kind"] for tag, found in page.tags if tag == "div" and "data-kind" in found] == [
        "outside_clip",
        "empty_split",
    ]
    assert headline(checked(video("a.mp4"))) == "Nothing wrong in 1 video"


def test_everything_from_a_dataset_is_escaped() -> None:
    hostile = video(HOSTILE, forgeries=forged(3.0, 9.0), identity=HOSTILE, generator=HOSTILE)
    report = replace(
        checked(hostile, video("b", "test", identity=HOSTILE), repairs=(HOSTILE,)), root=HOSTILE, name=HOSTILE
    )
    text = render_dataset_page(report)
    page = Page(text)
    assert not page.of("script")
    assert not page.of("img")
    assert "\u202e" not in text
    assert "\\u202e" in text


def test_the_page_is_one_file_that_runs_nothing() -> None:
    text = render_dataset_page(checked(video("a.mp4", forgeries=forged(1, 2)), name="lavdf"))
    page = Page(text)
    assert not page.of("script")
    assert all((found.get("href") or "").startswith(("data:", "#")) for found in [*page.of("link"), *page.of("a")])
    assert "url(http" not in text
    (policy,) = [found["content"] for found in page.of("meta") if found.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_each_plot_has_its_words_and_its_table() -> None:
    page = Page(render_dataset_page(checked(video("a.mp4", forgeries=forged(1, 2), generator="vits"), name="lavdf")))
    plots = [found for found in page.of("svg") if found.get("role") == "img"]
    assert len(plots) == 1 + 4  # the split's bar, and four histograms; the generators' bars stand in their table
    assert all(found["aria-label"] for found in plots)
    assert len(page.of("table")) == 2 + 5
    assert all(found.get("aria-hidden") == "true" for found in page.of("svg") if found.get("role") != "img")


def test_columns_are_as_high_as_their_counts() -> None:
    histogram = Histogram("Length", "seconds", "segments", ("0 to 1", "1 or more"), {"audio": (8, 0), "visual": (2, 4)})
    drawn = chart(histogram)
    first, empty, second, third = drawn.bars
    assert [label for _, label in drawn.lines] == ["0", "2", "4", "6", "8"]
    assert empty.height == 0
    assert first.height == pytest.approx(4 * second.height)
    assert third.height == pytest.approx(2 * second.height)
    assert first.y == pytest.approx(drawn.lines[-1][0])
    for bar in drawn.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    assert drawn.spoken == (
        "Length: 8 segments of the sound, 100% in 0 to 1 seconds; 6 segments of the picture, 67% in 1 or more seconds"
    )


@pytest.mark.parametrize(("top", "labels"), [(1, "0 1"), (7, "0 2 4 6 8"), (999_999, "0 200k 400k 600k 800k 1M")])
def test_the_axis_has_round_numbers(top: int, labels: str) -> None:
    drawn = chart(Histogram("", "", "", ("1",), {"all": (top,)}))
    assert " ".join(label for _, label in drawn.lines) == labels


def test_an_empty_dataset_has_a_page() -> None:
    assert re.search("Nothing wrong in 0 videos", render_dataset_page(checked()))
