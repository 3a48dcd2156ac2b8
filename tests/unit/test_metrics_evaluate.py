"""Whole evaluations: streams, policies for what is missing, slices, chance, intervals, curves."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.digest import plain
from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.baselines import random_predictions
from iamsb_core.metrics.clip_lists import Contents
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.plots import ap_figure, ar_figure, dense_protocol
from iamsb_core.timeline import Segment

BOTH = Modality.AUDIO | Modality.VISUAL


def video(name: str, *forgeries: tuple[float, float, Modality], duration: float = 8.0, **known: str) -> VideoRecord:
    return VideoRecord(
        video_id=name,
        path=Path(name),
        split="test",
        duration_seconds=duration,
        forgeries=tuple(Forgery(Segment(start, end), modality) for start, end, modality in forgeries),
        **known,
    )


def clip(name: str, audio: list, visual: list, fused: list, score: float = 0.5) -> ClipProposals:
    lists = [sorted_proposals(np.asarray(rows, dtype=float).reshape(-1, 3)) for rows in (audio, visual, fused)]
    return ClipProposals(name, 8.0, *lists, score)


MANIFEST = Manifest(
    "four",
    Path("/"),
    (
        video("a", (1, 2, Modality.AUDIO), generator="vocoder"),
        video("v", (3, 4, Modality.VISUAL), generator="inpaint", duration=12.0),
        video("b", (1, 2, BOTH), (5, 6, Modality.AUDIO), generator="vocoder"),
        video("r"),
    ),
)
PERFECT = {
    "a": clip("a", [[1, 2, 0.9]], [], [[1, 2, 0.9]], 0.9),
    "v": clip("v", [], [[3, 4, 0.9]], [[3, 4, 0.9]], 0.9),
    "b": clip("b", [[1, 2, 0.9], [5, 6, 0.8]], [[1, 2, 0.9]], [[1, 2, 0.9], [5, 6, 0.8]], 0.9),
    "r": clip("r", [], [], [], 0.1),
}


def test_perfect_predictions_in_every_stream():
    report = evaluate(MANIFEST, PERFECT, "av-deepfake1m", cells=True)
    assert report.ap["0.5"] == pytest.approx(1 - 1 / 4)
    assert report.ap_full["0.95"] == pytest.approx(1.0)
    assert report.ar["5"] == 1.0
    assert (report.auc, report.eer, report.cell_auc) == (1.0, 0.0, 1.0)
    assert report.counts.clips == 4
    assert (report.counts.forged_clips, report.counts.truths, report.counts.proposals) == (3, 4, 4)
    audio, visual = report.streams["audio"], report.streams["visual"]
    assert (audio.counts.truths, visual.counts.truths) == (3, 2)
    assert audio.ap["0.5"] == pytest.approx(1 - 1 / 3)
    assert (audio.auc, visual.auc) == (1.0, 1.0)
    assert report.score == pytest.approx((0.75 + 1.0) / 2)
    assert report.warnings == ()


def test_streams_mixed_up_are_wrong_in_each_and_right_together():
    swapped = {name: clip(name, c.visual, c.audio, c.fused, c.clip_score) for name, c in PERFECT.items()}
    report = evaluate(MANIFEST, swapped)
    assert report.ap_full["0.5"] == 1.0
    assert report.streams["audio"].ap_full["0.5"] == pytest.approx(1 / 3 * 1 / 2)  # b's shared segment, tied with v's
    assert report.streams["visual"].auc == pytest.approx((0 + 0.5 + 0.5 + 1) / 4)  # v against a and r, b too


def test_a_report_is_json():
    text = json.dumps(plain(evaluate(MANIFEST, PERFECT, "ddl-av", slice_by=("generator",))), allow_nan=False)
    document = json.loads(text)
    assert document["protocol"] == "ddl-av"
    assert set(document["ap"]) == {"0.5", "0.75", "0.9", "0.95"}
    assert set(document["streams"]["audio"]["ar"]) == {"100", "50", "30", "20", "10", "5"}
    assert document["final"] == pytest.approx(1.0)


def test_missing_and_extra_clips_are_counted_and_told():
    some = {"a": PERFECT["a"], "r": PERFECT["r"], "elsewhere": PERFECT["v"]}
    report = evaluate(MANIFEST, some, "ddl-av")
    assert report.ap_full["0.5"] == pytest.approx(1 / 4)
    assert report.ar["100"] == pytest.approx(1 / 4)
    assert report.auc == pytest.approx(1 / 3)  # a above r; v and b at 0, below it
    assert any("2 of 4 clips have no prediction, such as v" in warning for warning in report.warnings)
    assert any("1 predictions are for clips not in the labels" in warning for warning in report.warnings)


def test_predictions_of_other_clips_are_refused():
    with pytest.raises(ValueError, match=r"none of the 4 clips has a prediction: the labels name 'a', but .* 'x'"):
        evaluate(MANIFEST, {"x": PERFECT["a"]})


def test_a_stream_without_forgeries_has_no_ap_and_says_so():
    manifest = Manifest("one", Path("/"), (MANIFEST.videos[0], MANIFEST.videos[3]))
    report = evaluate(manifest, PERFECT)
    assert report.streams["visual"].ap["0.5"] is None
    assert report.streams["visual"].auc is None
    assert "visual: no clip is forged, so there is no AP or AR" in report.warnings


def test_what_predictions_do_not_hold_is_none_rather_than_bad():
    report = evaluate(MANIFEST, PERFECT, contents=Contents(segments=False, streams=False))
    assert (report.ap["0.5"], report.ar["100"], report.auc) == (None, None, 1.0)
    report = evaluate(MANIFEST, PERFECT, "ddl-av", contents=Contents(streams=False, clip_scores=False))
    assert (report.auc, report.final, report.streams) == (None, None, {})
    assert report.score is not None


def test_nan_counts_as_not_forged():
    worst = PERFECT | {"a": clip("a", [[1, 2, math.nan]], [], [[1, 2, math.nan]], math.nan)}
    report = evaluate(MANIFEST, worst)
    assert report.auc == pytest.approx(2 / 3)
    assert report.streams["audio"].auc == pytest.approx((0.5 * 2 + 2) / 4)
    assert report.ar["100"] == pytest.approx(3 / 4)


def test_slices_keep_the_genuine_clips_where_false_alarms_matter():
    report = evaluate(MANIFEST, PERFECT, slice_by=("generator", "duration", "forged_length"))
    generators = report.slices["generator"]
    assert {name: s.counts.clips for name, s in generators.items()} == {"inpaint": 2, "vocoder": 3}
    assert generators["vocoder"].counts.truths == 3
    assert {name: s.counts.clips for name, s in report.slices["duration"].items()} == {
        "05.0-10.0 s": 3,
        "10.0-20.0 s": 1,
    }
    assert {name: s.counts.clips for name, s in report.slices["forged_length"].items()} == {"01.0-02.0 s": 4}
    with pytest.raises(ValueError, match="sliced by"):
        evaluate(MANIFEST, PERFECT, slice_by=("colour",))


def test_chance_knows_the_clips_and_nothing_else():
    first = random_predictions(MANIFEST, np.random.default_rng(0))
    again = random_predictions(MANIFEST, np.random.default_rng(0))
    assert set(first) == {"a", "v", "b", "r"}
    for name, found in first.items():
        np.testing.assert_array_equal(found.audio, again[name].audio)
        assert not np.array_equal(found.audio, found.visual)
        lengths = found.fused[:, 1] - found.fused[:, 0]
        assert found.fused.shape == (100, 3)
        assert (np.diff(found.fused[:, 2]) <= 0).all()
        assert found.fused[:, 0].min() >= 0
        assert found.fused[:, 1].max() <= found.duration_seconds + 1e-5
        assert lengths.min() > 0.149
        assert lengths.max() < 2.001
        # log-uniform: half of them are shorter than the geometric mean of 0.15 and 2
        assert 0.3 < (lengths < math.sqrt(0.3)).mean() < 0.7
    assert evaluate(MANIFEST, first).ap_full["0.95"] < 0.05


def test_chance_needs_durations():
    nameless = VideoRecord(video_id="a", path=Path("a"), split="test", duration_seconds=None)
    unknown = Manifest("u", Path("/"), (nameless,))
    with pytest.raises(ValueError, match="duration of a is not known"):
        random_predictions(unknown, np.random.default_rng(0))
    found = random_predictions(unknown, np.random.default_rng(0), durations_seconds={"a": 0.1}, num_proposals=5)
    assert found["a"].audio[:, 1].max() <= 0.1 + 1e-6


def test_curves_show_the_numbers_of_the_report():
    report = evaluate(MANIFEST, PERFECT, dense_protocol("lavdf"))
    figure = ap_figure({"fused": report.ap_full, "audio": report.streams["audio"].ap_full})
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["fused", "audio"]
    np.testing.assert_allclose(lines[0].get_xdata(), np.arange(0.5, 0.96, 0.05))
    np.testing.assert_allclose(lines[0].get_ydata(), list(report.ap_full.values()))
    recall = ar_figure({"fused": report.ar, "nothing": {"100": None}})
    assert recall.axes[0].get_xscale() == "log"
    some, none = recall.axes[0].get_lines()
    np.testing.assert_array_equal(some.get_xdata(), sorted(int(count) for count in report.ar))
    assert len(none.get_xdata()) == 0
