"""The table and the page of a robustness suite, on numbers made by hand."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from iamsb_core.media.perturbations.spec import PerturbationSpec, read_perturbations
from iamsb_core.metrics.metric_report import Counts, MetricReport
from iamsb_core.report.robustness import PerturbedMetrics, RobustnessReport, render_robustness, rows


def metrics(first: float | None, last: float | None, auc: float | None) -> MetricReport:
    values = {"0.5": first, "0.75": 0.3, "0.95": last}
    return MetricReport(
        ap=values,
        ap_full=values,
        ar={"100": 0.5},
        auc=auc,
        eer=0.2,
        cell_auc=None,
        counts=Counts(clips=4, forged_clips=2, truths=3, proposals=40),
        protocol="lavdf",
        score=None,
        final=None,
    )


def view(perturbation: PerturbationSpec | None, report: MetricReport, num_unusable: int = 0) -> PerturbedMetrics:
    return PerturbedMetrics(perturbation=perturbation, report=report, num_unusable=num_unusable, run_id="r")


@pytest.fixture
def report() -> RobustnessReport:
    weak, strong, aac = read_perturbations(["blur:1"]) + read_perturbations(["blur:5"]) + read_perturbations(["aac:2"])
    return RobustnessReport(
        dataset="<lavdf>",
        split="test",
        model="models:/iamsb/3",
        protocol="lavdf",
        num_clips=4,
        clean=view(None, metrics(0.8, 0.4, 1.0)),
        views=(
            view(weak, metrics(0.7, 0.4, 0.75)),
            view(strong, metrics(0.2, None, 0.5), num_unusable=1),
            view(aac, metrics(0.9, 0.1, None)),
        ),
    )


def test_the_table_by_hand(report: RobustnessReport):
    clean, weak, strong, aac = rows(report)
    assert (clean.kind, clean.level, clean.stream) == ("", 0, "")
    assert clean.values == {"AP@0.5": 0.8, "AP@0.95": 0.4, "AUC": 1.0}
    assert set(clean.drops.values()) == {0.0}
    assert (weak.kind, weak.level, weak.strength, weak.stream) == ("blur", 1, "0.7 pixels (sigma)", "picture")
    assert weak.drops == pytest.approx({"AP@0.5": 0.1, "AP@0.95": 0.0, "AUC": 0.25})
    assert strong.values["AP@0.95"] is strong.drops["AP@0.95"] is None
    assert strong.num_unusable == 1
    assert aac.drops["AP@0.5"] == pytest.approx(-0.1), "a rise is a drop below zero"
    assert aac.stream == "sound"
    assert report.kinds == ("blur", "aac")


def test_the_page_has_a_curve_for_each_kind_and_needs_nothing_else(report: RobustnessReport):
    page = render_robustness(report)
    charts = [ElementTree.fromstring(text) for text in re.findall(r"<svg class=\"chart\".*?</svg>", page, re.DOTALL)]
    assert len(charts) == 2
    paths = charts[0].findall("path")
    # clean, level 1 and level 5 of 250 units from 34 on; 80 %, 70 % and 20 % of 120 units from 130 up
    assert paths[0].attrib["d"] == "M34.0 34.0L84.0 46.0L284.0 106.0"
    assert paths[1].attrib["d"] == "M34.0 82.0L84.0 82.0", "what could not be measured leaves no point"
    assert "AP@0.5 in percent: 80.0 at level 0, 70.0 at level 1, 20.0 at level 5" in charts[0].attrib["aria-label"]
    assert "&lt;lavdf&gt;" in page
    assert "<lavdf>" not in page
    assert "<script" not in page
    assert not re.findall(r"(?:src|href)=|url\(http|@import", page)


def test_a_protocol_with_one_threshold_has_one_curve_less(report: RobustnessReport):
    single = MetricReport(**{**report.clean.report.__dict__, "ap": {"0.5": 0.8}})
    suite = RobustnessReport(**{**report.__dict__, "clean": view(None, single), "views": ()})
    assert list(rows(suite)[0].values) == ["AP@0.5", "AUC"]
    assert "AP@0.95" not in render_robustness(suite)
