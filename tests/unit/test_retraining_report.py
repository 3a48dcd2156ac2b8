"""The page of a retraining, and what it says of the data."""

from __future__ import annotations

import dataclasses

import pytest

from iamsb_core.metrics.bootstrap import Difference
from iamsb_core.metrics.promotion import Decision, PromotionRule, SliceResult
from iamsb_core.report.retraining import DataChanges, RetrainReport, render_retraining


def result(group: str, champion: float, candidate: float, *, decides: bool = True) -> SliceResult:
    return SliceResult(
        test_set="set <one>",
        by="generator" if group else "all",
        group=group,
        num_clips=60,
        num_forged=40,
        candidate=candidate,
        champion=champion,
        decides=decides,
    )


@pytest.fixture
def report() -> RetrainReport:
    decision = Decision(
        promote=False,
        reasons=("set <one>, generator old: falls by 5.00 points to 45.00, more than the 2 that are tolerated",),
        candidate=0.725,
        champion=0.5,
        difference=Difference(0.225, 0.125, 0.325, 0.01),
        sets=(result("", 0.5, 0.725),),
        slices=(result("old", 0.5, 0.45), result("rare", 0.5, 0.1, decides=False)),
    )
    return RetrainReport(
        at="2026-01-02T03:04:05+00:00",
        datasets=("lavdf at somewhere",),
        outcome="kept",
        message="models:/iamsb/1 stays",
        candidate="models:/iamsb/2",
        champion="models:/iamsb/1",
        start="",
        num_decoded=3,
        num_bad=1,
        data=DataChanges.between({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "<script>d": "5"}),
        settings=("training.seed: 0 -> 1",),
        protocol="lavdf",
        rule=PromotionRule(),
        decision=decision,
    )


def test_changes_are_told_by_id():
    """Of a, b and c, a went, c has another digest, and d came."""
    found = DataChanges.between({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"})
    assert (found.num_videos, found.added, found.removed, found.changed) == (3, ("d",), ("a",), ("c",))
    assert [kind for kind, _ in found.named] == ["added", "removed", "changed"]
    assert not DataChanges.between(None, {"a": "1"}).known
    assert not DataChanges.between({"a": "1"}, {"a": "1"}).named


def test_the_page_says_what_and_why_and_escapes_names(report: RetrainReport):
    page = render_retraining(report)
    assert "The champion stays" in page
    assert "falls by 5.00 points to 45.00" in page
    assert "<td>50.00</td><td>72.50</td><td>+22.50</td>" in page
    assert "between +12.50 and +32.50 (95 % interval), p = 0.010" in page
    assert "<td>-5.00</td>" in page
    assert page.count('class="low"') == 1, "a slice that does not decide is no reason"
    assert "training.seed: 0 -&gt; 1" in page
    assert "&lt;script&gt;d" in page
    assert "<script" not in page
    assert "set <one>" not in page


def test_a_reason_is_told_once(report: RetrainReport):
    assert report.decision is not None
    told = dataclasses.replace(report, message=f"models:/iamsb/1 stays: {report.decision.reasons[0]}")
    assert render_retraining(told).count("falls by 5.00 points") == 1


def test_the_first_champion_has_a_page_without_a_comparison(report: RetrainReport):
    first = dataclasses.replace(
        report,
        outcome="promoted",
        message="models:/iamsb/1 is the first champion",
        champion="",
        decision=None,
        data=DataChanges.between(None, {"a": "1"}),
    )
    page = render_retraining(first)
    assert "A new champion" in page
    assert "there was none" in page
    assert "Test sets" not in page
