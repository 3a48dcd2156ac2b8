"""The page, the table and the document over many reports."""

from __future__ import annotations

import csv
import json
import runpy
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from iamsb_core.report.overview import OverviewRow, write_overview

HOSTILE = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))["HOSTILE_NAME"]
NOTHING: dict[str, tuple[tuple[float, float, float], ...]] = {"audio": (), "visual": (), "fused": ()}


def row(video: Path, **changes: object) -> OverviewRow:
    facts = {
        "video": video,
        "state": "done",
        "decision": "forged",
        "clip_score": 0.9,
        "duration_seconds": 8.0,
        "segments": {**NOTHING, "audio": ((2.0, 4.0, 0.93),)},
        "warnings": (),
        "report": video.parent / "out" / "talk",
        "error": "",
    }
    return OverviewRow(**{**facts, **changes})


@pytest.fixture
def rows(tmp_path: Path) -> list[OverviewRow]:
    failed = {"state": "failed", "decision": "", "clip_score": None, "duration_seconds": 0.0, "report": None}
    return [
        row(tmp_path / "talk.mp4"),
        row(tmp_path / HOSTILE.replace("/", "_"), decision="no evidence of forgery", segments=NOTHING),
        row(tmp_path / "=1+1.mp4", **failed, segments=NOTHING, error='<b>cut off</b>; "copy" it again'),
    ]


def test_the_document_and_the_table_say_the_same(rows: list[OverviewRow], tmp_path: Path):
    made = write_overview(tmp_path / "out", rows, model="models:/iamsb/1", created=datetime(2026, 2, 3, tzinfo=UTC))
    data = json.loads(made.json.read_text(encoding="utf-8"))
    assert data["counts"] == {
        "videos": 3, "examined": 2, "failed": 1, "decisions": {"forged": 1, "no evidence of forgery": 1},
    }  # fmt: skip
    assert [each["report"] for each in data["videos"]] == ["talk", "talk", None]
    assert data["videos"][0]["segments"]["audio"] == [[2.0, 4.0, 0.93]]
    with made.csv.open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [each["state"] for each in table] == ["done", "done", "failed"]
    assert table[0]["audio"] == "2.0000-4.0000 (0.93)"
    assert table[2]["clip_score"] == ""
    assert table[2]["error"] == rows[2].error


class Reader(HTMLParser):
    """What a page shows and refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data


def test_the_page_stands_alone_and_escapes_names(rows: list[OverviewRow], tmp_path: Path):
    made = write_overview(tmp_path / "out", rows, model="m", created=datetime(2026, 2, 3, tzinfo=UTC))
    page = Reader(made.html.read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert {attrs.get("href") for tag, attrs in page.tags if tag == "a"} == {"talk/report.html"}
    assert not [attrs for _, attrs in page.tags if str(attrs.get("src", "data:"))[:5] != "data:"]
    assert not [tag for tag, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert "<b>cut off</b>" in page.words
    assert "\u202e" not in page.words
    bars = [attrs for tag, attrs in page.tags if tag == "rect" and attrs.get("class") == "audio"]
    assert [(bar["x"], bar["width"]) for bar in bars] == [("25.0%", "25.0%")]
