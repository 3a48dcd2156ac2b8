"""An experiment's numbers, sentences and page, on predictions made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.bootstrap import Interval
from iamsb_core.metrics.labels import Labels
from iamsb_core.report.dot_chart import dot_chart
from iamsb_core.report.experiment import (
    Arm,
    ExperimentReport,
    Question,
    Scene,
    Situation,
    Trouble,
    VariantReport,
    measure,
)
from iamsb_core.report.experiment_page import render_experiment
from iamsb_core.report.experiment_words import finding
from iamsb_core.report.line_chart import line_chart
from iamsb_core.systems.cost import SystemCost
from iamsb_core.timeline import Segment

COST = SystemCost(duration_seconds=8.6, num_parameters=1234, gflop=1.5, median_seconds=0.02, peak_bytes=None)
NONE = np.empty((0, 3), dtype=np.float32)


def labels(num_clips: int = 24) -> Labels:
    """Two of three clips have a forged second in the sound."""
    forgery = (Forgery(Segment(1.0, 2.0), Modality.AUDIO),)
    videos = [
        VideoRecord(
            video_id=f"{number:03d}",
            path=Path(f"{number:03d}"),
            split="test",
            duration_seconds=4.0,
            forgeries=forgery if number % 3 else (),
        )
        for number in range(num_clips)
    ]
    return Labels.of_manifest(Manifest("drawn", Path("/"), tuple(videos)))


def arm(name: str, *shifts_seconds: float) -> Arm:
    """Finds every forgery, its ends off by the shift; one seed for each shift."""
    runs = []
    for shift in shifts_seconds:
        found = {}
        for number in range(24):
            row = [1.0 - shift, 2.0 + shift, 0.9] if number % 3 else [0.0, 0.5, 0.2]
            table = np.array([row], dtype=np.float32)
            found[f"{number:03d}"] = ClipProposals(f"{number:03d}", 4.0, table, NONE, table, row[2])
        runs.append(found)
    return Arm(name, tuple(runs))


def situation(name: str, split: str = "test") -> Situation:
    return Situation(name=name, dataset="<drawn>", split=split, num_clips=24, num_forged=16)


@pytest.fixture(scope="module")
def report() -> ExperimentReport:
    scenes = [
        Scene(situation("clean"), labels(), (arm("near", 0.01, 0.2), arm("<far>", 0.2, 0.2))),
        Scene(situation("worse"), labels(), (arm("near", 0.2, 0.2), arm("<far>", 0.2, 0.2))),
        Scene(situation("other clips", "dev"), labels(), (arm("near", 0.2, 0.2), arm("<far>", 0.01, 0.01))),
    ]
    traces = {"gradient_cosine_audio": {10: -0.5, 20: 0.1, 30: 0.3}}
    variants = tuple(
        VariantReport(
            name=name,
            system="macb-df",
            differs="",
            epochs=3,
            runs=((0, "r0", "m0"), (1, "r1", "m1")),
            costs=(COST,),
            step_seconds=0.2,
            traces=traces if name == "near" else {},
        )
        for name in ("near", "<far>")
    )
    return ExperimentReport(
        about=Question(name="nearness", question="Is near better?", source="a paper", metrics=("ap_0.75", "auc")),
        protocol="lavdf",
        size="compact",
        encoders="handcrafted",
        device="cpu",
        num_clips=None,
        seeds=(0, 1),
        situations=tuple(scene.situation for scene in scenes),
        variants=variants,
        measured=measure(scenes, "near", "lavdf", num_replicates=50),
        troubles=(Trouble(variant="gone", situation="", seed=1, reason="<script>"),),
    )


def test_numbers_by_hand(report: ExperimentReport):
    """Off by .2 at both ends of a second: tiou .71, so AP@0.75 is 0; off by .01: 1. Of two seeds the mean is .5."""
    near, far = report.inside("clean")
    assert near.intervals["ap_0.75"].estimate == 0.5
    assert near.by_seed["ap_0.75"] == (1.0, 0.0)
    assert not near.against
    assert far.against["ap_0.75"].estimate == -0.5
    assert far.against["ap_0.5"].estimate == 0.0
    assert near.streams["audio"]["0.5"] == 1.0
    assert report.of("near", "worse") is report.inside("worse")[0]
    assert report.of("near", "nowhere") is None


def test_a_fall_is_from_the_first_situation(report: ExperimentReport):
    """On the same clips it is paired; from other clips the two ranges add up as independent ones."""
    worse = report.of("near", "worse")
    assert worse is not None
    assert worse.fall["ap_0.75"].estimate == 0.5
    far = report.of("<far>", "other clips")
    assert far is not None
    assert far.fall["ap_0.75"] == Interval(-1.0, -1.0, -1.0)
    assert all(not one.fall for one in report.inside("clean"))


def test_the_finding_follows_from_the_numbers(report: ExperimentReport):
    said = finding(report)
    assert said[0].startswith("AP@0.75 (clean): near 50.0 (50.0 to 50.0); against it <far> -50.0")
    assert "worse (p 0.0" in said[0]
    assert any("falls from clean to worse: near by 50.0 points" in one and "least: <far>" in one for one in said)
    assert any("AUC falls from clean to worse: near by 0.0 points" in one for one in said)
    cosine = "near -0.500 in the first third, 0.300 in the last, negative in 33 % of the records"
    assert any(cosine in one for one in said)
    assert said[-1].startswith("Measured on 24 clips, 16 of them forged (clean); means of 2 trainings each")
    about = replace(report.about, tells_falls=False)
    assert not any("falls" in one for one in finding(replace(report, about=about)))
    assert "lost</th>" not in render_experiment(replace(report, about=about))
    assert finding(replace(report, measured=(), situations=())) == ("Nothing could be measured; see what went wrong.",)


def test_many_situations_are_told_by_variant(report: ExperimentReport):
    """Near falls by 50 in three and far in none; of 4 situations far is better in one, where near fell furthest."""
    more = tuple(situation(name) for name in ("worse again", "worst"))
    copies = [replace(one, situation=more[0].name) for one in report.inside("worse")]
    near, far = report.inside("other clips")
    near = replace(near, situation="worst", fall={"ap_0.75": Interval(0.6, 0.5, 0.7)})
    better = replace(far, situation="worst")
    many = replace(report, situations=(*report.situations, *more), measured=(*report.measured, *copies, near, better))
    said = finding(many)
    assert far.against["ap_0.75"].estimate == 1.0
    assert sum("against it" in one for one in said) == 2, "both metrics, in the first situation alone"
    tally = next(one for one in said if "elsewhere" in one)
    assert tally == ("AP@0.75 elsewhere: <far> against near better under other clips, worst; not told apart in 2 of 4.")
    fallen = next(one for one in said if one.startswith("AP@0.75 of near falls"))
    assert fallen.startswith("AP@0.75 of near falls from clean to worst by 60.0 points (50.0 to 70.0), worse by 50.0")
    assert "AP@0.75 of <far> does not certainly fall from clean to any of the 4 others." in said


def test_seeds_that_differ_are_told(report: ExperimentReport):
    """Near has 1 with one seed and 0 with the other."""
    assert finding(report)[-1].endswith("Seeds of one variant lie up to 100.0 points of AP@0.75 apart.")


def test_one_variant_alone(report: ExperimentReport):
    """Its numbers are told, and nothing is the best or stands against anything."""
    near = tuple(one for one in report.measured if one.variant == "near")
    alone = replace(report, variants=report.variants[:1], measured=near)
    assert finding(alone)[0] == "AP@0.75 (clean): near 50.0 (50.0 to 50.0)."
    page = render_experiment(alone)
    assert 'class="best"' not in page
    assert "A star marks" not in page
    assert 'class="best"' in render_experiment(report)


def test_rows_are_what_there_is_more_of(report: ExperimentReport):
    """Three situations of two variants: the axis names situations, the key variants."""
    by_situation = render_experiment(report)
    assert 'text-anchor="end">other clips</text>' in by_situation
    assert "<bdi>near</bdi>" in by_situation
    one = replace(report, situations=report.situations[:1], measured=report.inside("clean"))
    assert 'text-anchor="end">near</text>' in render_experiment(one)


def test_the_page_says_it_all_and_escapes(report: ExperimentReport):
    page = render_experiment(report)
    assert "Is near better?" in page
    assert page.count("<li>") == len(finding(report))
    assert "&lt;far&gt;" in page
    assert "<far>" not in page
    assert "<script" not in page
    assert "gradient cosine audio, in training" in page
    assert "100.0, 0.0" in page, "each seed's own number"
    assert "http" not in page.replace("http-equiv", "")


def test_a_dot_chart_by_hand():
    """Ranges up to .55: the axis reaches .6, and .3 stands half-way; two dots of a row stand below each other."""
    numbers = {"a": {"x": Interval(0.3, 0.0, 0.6), "y": Interval(0.1, 0.1, 0.55)}, "b": {}}
    chart = dot_chart(numbers, ["x", "y"], label="AP")
    left, _, right, bottom = chart.box
    first, second = chart.rows[0].dots
    assert (first.x, first.low, first.high) == ((left + right) / 2, left, right)
    assert second.y > first.y
    assert chart.rows[1].dots == ()
    assert [label for _, label in chart.places] == ["0", "12", "24", "36", "48", "60"]
    assert bottom < chart.size[1]


def test_a_line_chart_below_zero():
    """A cosine's axis goes from -1 to 1, so that 0 stands half-way, and many steps get few numbers."""
    steps = {float(step): 0.0 for step in range(50)}
    chart = line_chart({"a": steps}, x_label="step", reach=(-1.0, 1.0), scale=1.0)
    _, top, _, bottom = chart.box
    assert chart.lines[0].points[0][1] == (top + bottom) / 2
    assert [label for _, label in chart.heights] == ["-1", "-0.5", "0", "0.5", "1"]
    assert len(chart.places) == 7
