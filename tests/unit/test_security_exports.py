"""A file whose name tries to be a formula, markup, a subtitle, a chapter or an edit: in every export it is a name."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import webvtt

from iamsb_core.report.exports import FORMATS, export
from iamsb_core.report.exports.tables import harmless

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "report.json").read_text(encoding="utf-8"))
FORMULAS = (
    '=HYPERLINK("http://evil.example","x").mp4',
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "\u200b=1+1",
    "\uff1d1+1",
)
INJECTIONS = (
    'a"><script>alert(1)</script>&amp;]]><!--.mp4',
    "a\n\n00:00:00.000 --> 09:00:00.000\nforged\n\n.mp4",
    "a\r\n001  AX       V     C        00:00:00:00 09:00:00:00 00:00:00:00 09:00:00:00\r\n.mp4",
    "a\n[CHAPTER]\nTIMEBASE=1/1\nSTART=0\nEND=9\ntitle=x.mp4",
    'a"\n        intervals [9]:\n            text = "x.mp4',
    "a\t0.0\t9.0\tforged.mp4",
    "a\x00\x1b[2J\udcff\u202e.mp4",
)


def named(name: str) -> dict:
    return GOLDEN | {"media": GOLDEN["media"] | {"name": name}}


READERS: dict[str, Callable[[str], object]] = {
    "vtt": lambda text: [(one.start, one.end, one.text) for one in webvtt.from_buffer(io.StringIO(text))],
    "eaf": lambda text: [(one.tag, sorted(one.attrib)) for one in ET.fromstring(text).iter()],
    "csv": lambda text: [row[:11] for row in csv.reader(io.StringIO(text, newline=""))],
    "ffmetadata": lambda text: [line for line in text.splitlines() if re.match(r"\[|START|END|TIMEBASE", line)],
    "edl": lambda text: [line for line in text.split("\r\n") if line[:3].isdigit()],
    "textgrid": lambda text: [line for line in text.splitlines() if re.search("intervals|xm", line)],
}
"""what a reader of the format makes of it, without what the clip is called"""


def structure(chosen: str, text: str) -> object:
    return READERS.get(chosen, lambda other: len(other.splitlines()))(text)


@pytest.mark.parametrize("name", [*FORMULAS, *INJECTIONS])
@pytest.mark.parametrize("chosen", FORMATS)
def test_a_name_changes_nothing_but_the_name(name: str, chosen: str):
    text = export(named(name), chosen).encode("utf-8", "backslashreplace").decode()
    plain = export(named("plain.mp4"), chosen)
    assert structure(chosen, text) == structure(chosen, plain)


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_is_a_formula(name: str):
    assert harmless(name) == f"'{name}"
    for row in csv.reader(io.StringIO(export(named(name), "csv"), newline="")):
        assert not any(cell.strip().startswith(("=", "+", "@")) for cell in row)


@pytest.mark.parametrize("name", ["talk.mp4", "3-2.mp4", "a=b.mp4", "x@y.mp4"])
def test_an_ordinary_name_stays_as_it_is(name: str):
    assert harmless(name) == name
