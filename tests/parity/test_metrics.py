"""The metrics against independent sources: the published evaluator, and slow restatements."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from iamsb_core.metrics.average_precision import average_precision
from iamsb_core.metrics.average_recall import average_recall
from iamsb_core.metrics.files import read_predictions, score
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.packed import pack
from iamsb_core.metrics.policy import Policy
from iamsb_core.metrics.protocols import ACTIVITYNET, AR_TIOUS, AV_DEEPFAKE1M, Protocol
from iamsb_core.metrics.submission_check import check_submission
from iamsb_core.metrics.submission_formats import FORMATS, Listing
from iamsb_core.metrics.submission_writing import write_submission

Corpus = list[tuple[str, np.ndarray, np.ndarray]]
"""for each clip its name, truth (K, 2) and proposals (N, 3) score, start, end by falling score"""


@pytest.fixture(scope="session")
def wheel() -> ModuleType:
    """The compiled part of the published evaluator; its package cannot be imported without torchmetrics."""
    package = importlib.util.find_spec("avdeepfake1m")
    if package is None or package.origin is None:
        pytest.skip("the published evaluator is not installed: pip install --no-deps avdeepfake1m==0.0.4")
    compiled = [
        path
        for suffix in importlib.machinery.EXTENSION_SUFFIXES
        for path in Path(package.origin).parent.glob(f"_evaluation*{suffix}")
    ]
    if not compiled:
        pytest.skip("the published evaluator has no compiled part for this Python")
    spec = importlib.util.spec_from_file_location("avdeepfake1m._evaluation", compiled[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published(wheel: ModuleType, labels: Path, predictions: Path, file_hz: float = 1.0) -> list[float]:
    """AP and then AR as the published evaluator gives them; the protocols' thresholds and counts are the same."""
    tious, counts = list(AV_DEEPFAKE1M.ap_tious), list(AV_DEEPFAKE1M.ar_counts)
    files = (str(predictions), str(labels))
    found = wheel.ap_ar_1d(*files, "file", "fake_segments", file_hz, tious, counts, list(AR_TIOUS))
    return [*found["ap"].values(), *(found["ar"][count] for count in counts)]


def corpus(rng: np.random.Generator, *, num_clips: int, decimals: int, most: int = 120) -> Corpus:
    """Clips, a quarter of them genuine, with proposals near the truth, duplicates of them, and chance ones."""
    clips: Corpus = []
    for index in range(num_clips):
        num_truths = 0 if rng.random() < 0.25 else int(rng.integers(1, 5))
        starts = np.sort(rng.uniform(0, 9, num_truths))
        truth = np.round(np.stack([starts, starts + rng.uniform(0.15, 1.5, num_truths)], axis=1), 2)
        num = int(rng.integers(1, most))
        begin = rng.uniform(0, 9, num)
        proposals = np.stack([rng.random(num), begin, begin + rng.uniform(0.1, 2.0, num)], axis=1)
        if num_truths:
            near = rng.random(num) < 0.4
            chosen = truth[rng.integers(0, num_truths, num)] + rng.normal(0, 0.08, (num, 2))
            proposals[near, 1:] = chosen[near]
            proposals[near, 0] = 0.3 + 0.7 * proposals[near, 0]
        proposals = np.round(proposals, decimals)
        clips.append((f"clip/{index:05d}.mp4", truth, proposals[np.argsort(-proposals[:, 0], kind="stable")]))
    return clips


def write(clips: Corpus, folder: Path) -> tuple[Path, Path]:
    labels, predictions = folder / "labels.json", folder / "predictions.json"
    labels.write_text(json.dumps([{"file": name, "fake_segments": truth.tolist()} for name, truth, _ in clips]))
    predictions.write_text(json.dumps({name: proposals.tolist() for name, _, proposals in clips}))
    return labels, predictions


def ours(clips: Corpus, rules: Protocol) -> tuple[dict[str, float | None], dict[str, float | None]]:
    packed = pack([truth for _, truth, _ in clips], [proposals[:, [1, 2, 0]] for _, _, proposals in clips])
    found = candidates(packed, rules)
    return average_precision(packed, found, rules), average_recall(packed, found, rules)


# Scores of two decimals are full of ties; times of two decimals meet the thresholds exactly.
@pytest.mark.parametrize(("seed", "decimals"), [(0, 2), (1, 2), (2, 4), (3, 6), (4, 1)])
def test_av_deepfake1m_equals_the_published_evaluator(wheel, tmp_path, seed, decimals):
    clips = corpus(np.random.default_rng(seed), num_clips=300, decimals=decimals)
    labels, predictions = write(clips, tmp_path)
    report = score(labels, predictions, "av-deepfake1m")
    theirs = published(wheel, labels, predictions)
    assert list(report.ap.values()) == theirs[:4]  # to the last bit
    assert list(report.ar.values()) == pytest.approx(theirs[4:], abs=1e-6)
    assert 0.05 < report.ap["0.5"] < 0.95


def test_lavdf_equals_the_published_evaluator_at_25_frames_a_second(wheel, tmp_path):
    clips = [
        (name, truth, np.round(proposals * [1, 25, 25], 3))
        for name, truth, proposals in corpus(np.random.default_rng(7), num_clips=200, decimals=3)
    ]
    labels, predictions = write(clips, tmp_path)
    theirs = published(wheel, labels, predictions, file_hz=25.0)
    report = score(labels, predictions, "lavdf")
    assert [*report.ap.values(), *report.ar.values()] == pytest.approx(theirs, abs=1e-6)


def test_lists_out_of_order_are_read_as_published_where_that_is_wanted(wheel, tmp_path):
    rng = np.random.default_rng(5)
    clips: Corpus = [
        (name, truth, proposals[rng.permutation(len(proposals))])
        for name, truth, proposals in corpus(rng, num_clips=200, decimals=3)
    ]
    labels, predictions = write(clips, tmp_path)
    theirs = published(wheel, labels, predictions)
    as_is = score(labels, predictions, "av-deepfake1m", policy=Policy(unsorted="as-is"))
    assert [*as_is.ap.values(), *as_is.ar.values()] == pytest.approx(theirs, abs=1e-6)
    mended = score(labels, predictions, "av-deepfake1m")
    assert abs(mended.ap["0.5"] - theirs[0]) > 0.01  # what sorting is for


@pytest.mark.parametrize("form", ["1m-deepfakes", "ddl-av"])
def test_a_submission_written_and_checked_by_us_scores_the_same_with_the_published_evaluator(wheel, tmp_path, form):
    clips = corpus(np.random.default_rng(6), num_clips=200, decimals=3)
    labels, predictions = write(clips, tmp_path)
    found, chosen, listing = read_predictions(predictions).clips, FORMATS[form], Listing.read(labels)
    found = {name: clip for name, clip in found.items() if name != clips[3][0]}  # one that could not be predicted
    sent = write_submission(chosen, found, listing, tmp_path / "sent")
    assert all(check_submission(chosen, path, listing).passed for path in (sent.text_path, sent.json_path))
    report = score(labels, sent.json_path, "av-deepfake1m", detection_path=sent.text_path)
    theirs = published(wheel, labels, sent.json_path)
    assert [*report.ap.values(), *report.ar.values()] == pytest.approx(theirs, abs=1e-6)
    scores = dict(line.rsplit(chosen.separator, 1) for line in sent.text_path.read_text().splitlines())
    forged = [len(truth) > 0 for _, truth, _ in clips]
    assert report.auc == pytest.approx(roc_auc_score(forged, [float(scores[name]) for name, _, _ in clips]))


def test_overlapping_truths_are_matched_in_list_order_as_published(wheel, tmp_path):
    rng = np.random.default_rng(11)
    clips: Corpus = []
    for index in range(200):
        truth = np.round(np.stack([rng.uniform(0, 0.3, 4), rng.uniform(0.8, 1.2, 4)], axis=1), 2)
        proposals = np.stack([rng.random(8), rng.uniform(0, 0.3, 8), rng.uniform(0.8, 1.2, 8)], axis=1)
        clips.append((str(index), truth, proposals[np.argsort(-proposals[:, 0])]))
    labels, predictions = write(clips, tmp_path)
    theirs = wheel.ap_1d(str(predictions), str(labels), "file", "fake_segments", 1.0, list(AV_DEEPFAKE1M.ap_tious))
    assert list(score(labels, predictions, "av-deepfake1m").ap.values()) == pytest.approx(
        list(theirs.values()), abs=1e-6
    )


def test_inverted_and_dummy_proposals_count_as_published(wheel, tmp_path):
    clips: Corpus = [
        ("a", np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[0.9, 1.0, 0.0], [0.8, 0.0, 1.0], [0.1, 2.0, 3.0]])),
        ("b", np.array([[0.0, 1.0]]), np.array([[0.0, 0.0, 0.0]])),
        ("c", np.empty((0, 2)), np.array([[0.5, 0.0, 1.0]])),
    ]
    labels, predictions = write(clips, tmp_path)
    theirs = wheel.ap_1d(str(predictions), str(labels), "file", "fake_segments", 1.0, list(AV_DEEPFAKE1M.ap_tious))
    report = score(labels, predictions, "av-deepfake1m")
    assert list(report.ap.values()) == pytest.approx(list(theirs.values()), abs=1e-6)
    assert any("end before they start" in warning for warning in report.warnings)


# --- ActivityNet, restated slowly from its description (reference: the paper's toolkit) ---


def slow_tiou(a: np.ndarray, b: np.ndarray) -> float:
    overlap = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return overlap / ((a[1] - a[0]) + (b[1] - b[0]) - overlap)


def slow_activitynet_ap(clips: Corpus, threshold: float) -> float:
    ranked = [(p[0], name, p[1:]) for name, _, proposals in clips for p in np.float32(proposals).astype(float)]
    ranked.sort(key=lambda item: -item[0])
    truths = {name: truth for name, truth, _ in clips}
    taken: set[tuple[str, int]] = set()
    hits = []
    for _, name, segment in ranked:
        by_tiou = sorted(range(len(truths[name])), key=lambda k: -slow_tiou(segment, truths[name][k]))
        free = [k for k in by_tiou if slow_tiou(segment, truths[name][k]) >= threshold and (name, k) not in taken]
        hits.append(bool(free))
        taken |= {(name, k) for k in free[:1]}
    num_truths = sum(len(truth) for truth in truths.values())
    points = [(sum(hits[: i + 1]) / num_truths, sum(hits[: i + 1]) / (i + 1)) for i in range(len(hits))]
    area, before = 0.0, 0.0
    for recall in sorted({r for r, _ in points}):
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


def slow_activitynet_ar(clips: Corpus, count: int) -> float:
    forged = [(truth, proposals) for _, truth, proposals in clips if len(truth)]
    ratio = 100 * len(forged) / sum(len(proposals) for _, _, proposals in clips)
    lists = [
        (truth, np.float32(rows[: min(int(len(rows) * ratio), len(rows))]).astype(float)) for truth, rows in forged
    ]
    total = sum(len(proposals) for _, proposals in lists)
    share = count / 100 * (100 * len(forged) / total)
    recalls = []
    for threshold in AR_TIOUS:
        found = [
            any(
                slow_tiou(np.float32(p[1:]).astype(float), t) >= threshold
                for p in proposals[: int(len(proposals) * share)]
            )
            for truth, proposals in lists
            for t in truth
        ]
        recalls.append(np.mean(found))
    return float(np.mean(recalls))


@pytest.mark.parametrize(("seed", "most"), [(0, 12), (1, 12), (2, 60)])
def test_activitynet_equals_the_slow_restatement(seed, most):
    clips = corpus(np.random.default_rng(seed), num_clips=14, decimals=6, most=most)
    ap, ar = ours(clips, ACTIVITYNET)
    for threshold in ACTIVITYNET.ap_tious:
        assert ap[f"{threshold:g}"] == pytest.approx(slow_activitynet_ap(clips, threshold), abs=1e-12)
    for count in (50, 10, 5):
        assert ar[str(count)] == pytest.approx(slow_activitynet_ar(clips, count), abs=1e-12)


# --- the official protocol, restated slowly from reference semantics, on tiny cases full of ties ---


def slow_official_ap(clips: Corpus, threshold: float) -> float:
    marked: list[tuple[float, bool]] = []
    for _, truth, proposals in clips:
        hit = [False] * len(proposals)
        for t in np.float32(truth):
            for k, p in enumerate(np.float32(proposals)):
                shared = max(np.float32(0), min(t[1], p[2]) - max(t[0], p[1]))
                whole = max(t[1], p[2]) - min(t[0], p[1])
                if not hit[k] and shared / whole > np.float32(threshold):
                    hit[k] = True
                    break
        marked += [(float(np.float32(p[0])), hit[k]) for k, p in enumerate(proposals)]
    marked.sort(key=lambda item: -item[0])
    num_truths = sum(len(truth) for _, truth, _ in clips)
    curve, found = [(1.0, 0.0)], 0
    points = []
    for place, (_, is_hit) in enumerate(marked, start=1):
        found += is_hit
        points.append((found / num_truths, found / place))
    curve += points[::-1]
    area, best = 0.0, 0.0
    for (recall, precision), (next_recall, _) in pairwise(curve):
        best = max(best, precision)
        area += abs(recall - next_recall) * best
    return area


SEGMENTS = st.tuples(st.integers(0, 12), st.integers(1, 8)).map(lambda t: [t[0] / 10, (t[0] + t[1]) / 10])
CLIP = st.tuples(
    st.lists(SEGMENTS, max_size=3), st.lists(st.tuples(st.integers(0, 4), SEGMENTS), min_size=1, max_size=6)
)


@settings(deadline=None, max_examples=100)
@given(st.lists(CLIP, min_size=1, max_size=4).filter(lambda clips: any(truth for truth, _ in clips)))
def test_official_ap_equals_the_slow_restatement_with_ties(drawn):
    clips: Corpus = []
    for index, (truth, scored) in enumerate(drawn):
        rows = np.array([[score / 4, *segment] for score, segment in scored])
        rows = rows[np.argsort(-rows[:, 0], kind="stable")]
        clips.append((str(index), np.array(truth).reshape(-1, 2), rows))
    ap, _ = ours(clips, AV_DEEPFAKE1M)
    for threshold in AV_DEEPFAKE1M.ap_tious:
        assert ap[f"{threshold:g}"] == pytest.approx(slow_official_ap(clips, threshold), abs=1e-6)
