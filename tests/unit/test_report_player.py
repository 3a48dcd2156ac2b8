"""The page's player: which addresses it tries, what it embeds, and that nothing in a file's name or tags gets out."""

from __future__ import annotations

import base64
import logging
import re
import runpy
from pathlib import Path
from urllib.parse import unquote

import pytest

from iamsb_core.report import player as player_module
from iamsb_core.report import write_report
from iamsb_core.report.html import render_html
from iamsb_core.report.player import player
from iamsb_core.report.tables import TRUST, tables

case = runpy.run_path(str(Path(__file__).parents[1] / "golden" / "report_case.py"))
make_clip, make_proposals, make_report = case["make_clip"], case["make_proposals"], case["make_report"]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    path = tmp_path / "media" / "a:b #1.mp4"
    path.parent.mkdir()
    path.write_bytes(b"film")
    return path


def test_a_file_is_named_from_the_page_and_from_the_root(media: Path, tmp_path: Path) -> None:
    found = player(media, tmp_path / "out" / "report", "WEBVTT\n")
    assert found.sources == ("./../../media/a%3Ab%20%231.mp4", media.as_uri())
    assert (tmp_path / "out" / "report" / unquote(found.sources[0])).resolve() == media
    assert found.captions == "data:text/vtt;base64," + base64.b64encode(b"WEBVTT\n").decode()
    assert player(media, None, "").sources == (media.as_uri(),)


def test_an_embedded_file_is_whole(media: Path, tmp_path: Path) -> None:
    found = player(media, tmp_path, "", embed=True)
    assert found.embedded
    assert found.sources == ("data:video/mp4;base64," + base64.b64encode(b"film").decode(),)


def test_too_large_a_file_is_named_instead(media: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(player_module, "MOST_EMBEDDED_BYTES", 3)
    with caplog.at_level(logging.WARNING):
        found = player(media, tmp_path, "", embed=True)
    assert not found.embedded
    assert found.sources[1] == media.as_uri()
    assert "too large to embed" in caplog.text


def test_without_the_file_there_is_nothing_to_play(tmp_path: Path) -> None:
    assert not player(tmp_path / "gone.mp4", tmp_path, "").ready
    assert not player(None, tmp_path, "").ready


def test_no_other_file_tells_where_the_media_was(media: Path, tmp_path: Path) -> None:
    files = write_report(tmp_path / "report", make_report(media=media, command=["iamsb"]), make_clip())
    assert str(media.parent) in files.html.read_text(encoding="utf-8")
    assert str(media.parent) not in files.json.read_text(encoding="utf-8")
    assert str(media.parent) not in files.vtt.read_text(encoding="utf-8")


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def test_names_and_tags_stay_text(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "%") + "\n.mp4"
    (tmp_path / name).write_bytes(b"film")
    clip = make_clip(written_by=f"Lavf {HOSTILE}", container=HOSTILE, audio_codec=HOSTILE)
    report = make_report(clip, media=tmp_path / name, command=["iamsb", HOSTILE], warnings=[HOSTILE])
    page = render_html(report, clip, tmp_path)
    assert page.count("<script") == 1
    assert "<img" not in page
    assert HOSTILE not in page
    assert re.search(r"<source src=\"\./[A-Za-z0-9%._~()-]+\">", page)


def test_what_the_numbers_rest_on_is_told() -> None:
    (trust,) = [table for table in tables(make_report()) if table.title == TRUST]
    rows = {row[0]: row[1:] for row in trust.rows}
    assert rows["Probability"] == ("Platt's map", "not calibrated: too few dev cases", "Platt's map", "Platt's map")
    assert rows["Start lies within"][:2] == ("\N{PLUS-MINUS SIGN} 0.060 s", "no interval: too few for 90%")
    assert rows["Matched dev segments"][:2] == ("57", "3")
    (older,) = [table for table in tables(make_report(calibration=None)) if table.title == TRUST]
    assert older.rows[0][0] == "Not calibrated"


def test_what_was_matched_is_told() -> None:
    found = {table.title: table.rows for table in tables(make_report())}
    assert found["Sound and picture matched by the coupling"] == (
        ("Sound 2.30 to 2.90 s", "4.00 to 6.00 s", "70.0%", "1.5"),
    )
