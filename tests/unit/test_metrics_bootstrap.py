"""Intervals over clips, for one system and for two side by side."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.bootstrap import bootstrap, paired_bootstrap
from iamsb_core.metrics.clip_lists import Contents
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.timeline import Segment


def video(name: str, *forgeries: tuple[float, float, Modality]) -> VideoRecord:
    return VideoRecord(
        video_id=name,
        path=Path(name),
        split="test",
        duration_seconds=8.0,
        forgeries=tuple(Forgery(Segment(start, end), modality) for start, end, modality in forgeries),
    )


def clip(name: str, audio: list, visual: list, fused: list, score: float = 0.5) -> ClipProposals:
    lists = [sorted_proposals(np.asarray(rows, dtype=float).reshape(-1, 3)) for rows in (audio, visual, fused)]
    return ClipProposals(name, 8.0, *lists, score)


def many(num: int, miss_share: float, seed: int) -> tuple[Manifest, dict[str, ClipProposals]]:
    rng = np.random.default_rng(seed)
    videos, found = [], {}
    for index in range(num):
        name = f"{index:04d}"
        forged = index % 3 > 0
        videos.append(video(name, (1, 2, Modality.AUDIO)) if forged else video(name))
        hit = forged and rng.random() > miss_share
        rows = [[1, 2, 0.5 + rng.random() / 2]] if hit else [[5, 6, rng.random()]]
        found[name] = clip(name, rows, [], rows, rows[0][2])
    return Manifest("many", Path("/"), tuple(videos)), found


def test_bootstrap_interval_holds_the_estimate_and_narrows_with_more_clips():
    widths = []
    for num in (60, 960):
        manifest, found = many(num, 0.3, 0)
        intervals = bootstrap(manifest, found, rng=np.random.default_rng(1), num_replicates=200)
        report = evaluate(manifest, found)
        assert intervals["ap_0.5"].estimate == pytest.approx(report.ap_full["0.5"])
        assert intervals["ar_5"].estimate == pytest.approx(report.ar["5"])
        assert intervals["auc"].estimate == pytest.approx(report.auc)
        assert all(i.low <= i.estimate <= i.high for i in intervals.values())
        widths.append(intervals["ar_5"].high - intervals["ar_5"].low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.35)  # the square root of 16


def test_bootstrap_of_a_recall_has_the_binomial_width():
    manifest, found = many(900, 0.3, 0)
    interval = bootstrap(manifest, found, rng=np.random.default_rng(1), num_replicates=400)["ar_5"]
    expected = 2 * 1.96 * math.sqrt(0.3 * 0.7 / 600)
    assert interval.high - interval.low == pytest.approx(expected, rel=0.2)


def test_a_replicate_is_the_evaluation_of_the_clips_it_drew():
    manifest, found = many(40, 0.3, 3)
    drawn = np.random.default_rng(5).integers(0, 40, 40)
    copies = [(f"{index}/{copy}", index) for copy, index in enumerate(np.sort(drawn))]
    videos = tuple(replace(manifest.videos[index], video_id=name) for name, index in copies)
    report = evaluate(Manifest("drawn", Path("/"), videos), {name: found[f"{index:04d}"] for name, index in copies})
    replicate = bootstrap(manifest, found, rng=np.random.default_rng(5), num_replicates=1)
    for key, value in report.ap_full.items():
        assert replicate[f"ap_{key}"].low == pytest.approx(value)
    assert replicate["ar_5"].high == pytest.approx(report.ar["5"])
    assert replicate["auc"].low == pytest.approx(report.auc)
    assert replicate["ap_0.5"].low != replicate["ap_0.5"].estimate


def test_paired_bootstrap_tells_a_better_system_from_noise():
    manifest, good = many(240, 0.1, 0)
    _, bad = many(240, 0.5, 1)
    _, alike = many(240, 0.1, 2)
    better = paired_bootstrap(manifest, good, bad, rng=np.random.default_rng(0), num_replicates=300)["ap_0.5"]
    assert better.low > 0
    assert better.p_value < 0.01
    same = paired_bootstrap(manifest, good, alike, rng=np.random.default_rng(0), num_replicates=300)["ap_0.5"]
    assert same.low < 0 < same.high
    assert same.p_value > 0.05
    itself = paired_bootstrap(manifest, good, good, rng=np.random.default_rng(0), num_replicates=20)["ap_0.5"]
    assert (itself.estimate, itself.low, itself.high, itself.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_bootstrap_of_nothing_and_bad_levels():
    manifest, found = many(6, 0.3, 0)
    with pytest.raises(ValueError, match="needs clips"):
        bootstrap(Manifest("none", Path("/"), ()), {}, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap(manifest, found, rng=np.random.default_rng(0), num_replicates=3, level=95)
    with pytest.raises(ValueError, match="at least 1 replicate"):
        bootstrap(manifest, found, rng=np.random.default_rng(0), num_replicates=0)
    genuine = Manifest("r", Path("/"), (manifest.videos[0],))
    assert bootstrap(genuine, found, rng=np.random.default_rng(0), num_replicates=3) == {}


@pytest.mark.parametrize("protocol", ["av-deepfake1m", "ddl-av", "activitynet"])
def test_the_challenges_scores_have_intervals_too(protocol):
    manifest, found = many(90, 0.3, 0)
    intervals = bootstrap(manifest, found, protocol, rng=np.random.default_rng(1), num_replicates=50)
    report = evaluate(manifest, found, protocol)
    assert ("score" in intervals) == (report.score is not None)
    assert ("final" in intervals) == (report.final is not None)
    if protocol == "ddl-av":  # its area is the whole one, as the bootstrap's is
        assert intervals["score"].estimate == pytest.approx(report.score)
        assert intervals["final"].estimate == pytest.approx(report.final)
    audio = bootstrap(
        manifest, found, protocol, rng=np.random.default_rng(1), num_replicates=5, modality=Modality.AUDIO
    )
    assert not {"score", "final"} & set(audio)


def test_what_predictions_do_not_hold_has_no_interval():
    manifest, found = many(30, 0.3, 0)
    silent = Contents(clip_scores=False)
    once = {"rng": np.random.default_rng(0), "num_replicates": 5, "contents": silent}
    assert "auc" not in bootstrap(manifest, found, **once)
    assert "auc" not in paired_bootstrap(manifest, found, found, **once)
    assert "auc" in bootstrap(manifest, found, modality=Modality.AUDIO, **once)  # told by the proposals


def test_of_several_runs_a_metric_is_the_mean_on_the_same_draws():
    manifest, first = many(60, 0.1, 0)
    _, second = many(60, 0.6, 0)
    options = {"num_replicates": 40}
    alone = [bootstrap(manifest, run, rng=np.random.default_rng(1), **options)["ar_5"] for run in (first, second)]
    both = bootstrap(manifest, [first, second], rng=np.random.default_rng(1), **options)["ar_5"]
    assert both.estimate == pytest.approx((alone[0].estimate + alone[1].estimate) / 2)
    same = paired_bootstrap(manifest, [first, second], [second, first], rng=np.random.default_rng(1), **options)
    assert same["ar_5"].estimate == pytest.approx(0.0)
    assert (same["ar_5"].low, same["ar_5"].high) == pytest.approx((0.0, 0.0))
    with pytest.raises(ValueError, match="at least one set of predictions"):
        bootstrap(manifest, [], rng=np.random.default_rng(1))
