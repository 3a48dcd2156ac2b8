"""The report's files are read by other programs: a change of format must be seen, and meant."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

from iamsb_core.report.exports import export
from iamsb_core.report.write import report_json

FOLDER = Path(__file__).parent
case = runpy.run_path(str(FOLDER / "report_case.py"))


def test_the_json_document_is_the_published_one():
    made = json.loads(report_json(case["make_report"]()))
    assert made == json.loads((FOLDER / "report.json").read_text(encoding="utf-8"))


def test_the_subtitles_are_the_published_ones():
    assert export(case["make_report"](), "vtt") == (FOLDER / "report.vtt").read_text(encoding="utf-8")
