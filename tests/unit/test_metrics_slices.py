"""Slices by what the labels tell, and by how long the segments to be found are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.average_precision import average_precision
from iamsb_core.metrics.average_recall import average_recall
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.metrics.length_slices import by_segment_length
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.packed import pack
from iamsb_core.metrics.protocols import ACTIVITYNET, AV_DEEPFAKE1M, PROTOCOLS
from iamsb_core.metrics.slices import groups_of, length_buckets, telling
from iamsb_core.timeline import Segment

NONE = np.empty((0, 2))
ONE = np.array([[1.0, 2.0]])


def truth(name: str, audio: np.ndarray = NONE, visual: np.ndarray = NONE, **known: object) -> ClipTruth:
    return ClipTruth(name, audio if len(audio) else visual, audio, visual, **known)


CLIPS = (
    truth("a", ONE, dataset="lavdf", split="dev", generator="vits", duration_seconds=4.0),
    truth("v", NONE, ONE, dataset="lavdf", split="dev", duration_seconds=30.0),
    truth("b", ONE, ONE, dataset="tvil", split="test", generator="vits"),
    truth("r", dataset="lavdf", split="test", duration_seconds=4.0),
)


def names(groups: dict[str, list[ClipTruth]]) -> dict[str, str]:
    return {name: "".join(clip.video_id for clip in clips) for name, clips in groups.items()}


def test_groups_of_clips_by_hand():
    assert names(groups_of(CLIPS, "dataset")) == {"lavdf": "avr", "tvil": "b"}
    assert names(groups_of(CLIPS, "split")) == {"dev": "av", "test": "br"}
    assert names(groups_of(CLIPS, "duration")) == {"00.0-05.0 s": "ar", "20.0-60.0 s": "v", "unknown": "b"}
    # every group of forged clips has the genuine one too
    assert names(groups_of(CLIPS, "modality")) == {"audio": "ar", "audio and visual": "br", "visual": "vr"}
    assert names(groups_of(CLIPS, "generator")) == {"unknown": "vr", "vits": "abr"}
    assert names(groups_of(CLIPS, "forged_length")) == {"01.0-02.0 s": "avbr"}
    several = truth("s", ONE, ONE, generator="vits+wav2lip+vits")
    assert names(groups_of((*CLIPS, several), "generator")) == {"unknown": "vr", "vits": "abrs", "wav2lip": "rs"}
    told_apart = ClipTruth("x", ONE)
    assert names(groups_of((told_apart,), "modality")) == {"unknown": "x"}
    with pytest.raises(ValueError, match="sliced by dataset, split, modality"):
        groups_of(CLIPS, "segment_length")


def test_slicings_that_tell_nothing_are_not_shown():
    assert telling(CLIPS) == ("dataset", "split", "modality", "generator", "duration")
    assert telling((truth("a", ONE), truth("r"))) == ()
    longer = truth("l", np.array([[1.0, 1.2]]))
    assert telling((CLIPS[0], longer, CLIPS[3]))[-1] == "segment_length"


def test_a_slice_has_the_metrics_of_its_streams():
    def video(name: str, modality: Modality) -> VideoRecord:
        forgery = Forgery(Segment(1, 2), modality)
        return VideoRecord(
            video_id=name, path=Path(name), split="test", duration_seconds=8.0, forgeries=(forgery,), generator=name
        )

    manifest = Manifest("two", Path("/"), (video("a", Modality.AUDIO), video("v", Modality.VISUAL)))
    rows, none = sorted_proposals(np.array([[1, 2, 0.9]])), sorted_proposals(np.empty((0, 3)))
    found = {"a": ClipProposals("a", 8.0, rows, none, rows, 0.9), "v": ClipProposals("v", 8.0, none, rows, rows, 0.9)}
    slices = evaluate(manifest, found, slice_by=("generator", "dataset", "modality")).slices
    assert slices["generator"]["a"].streams["audio"].ap_full["0.5"] == 1.0
    assert slices["generator"]["a"].streams["visual"].ap_full["0.5"] is None
    assert slices["modality"]["visual"].streams["visual"].counts.truths == 1
    assert set(slices["dataset"]) == {"two"}


#  0    1    2    3    4    5    6    7    8   seconds
#  [=)  [===================)                  truths: S [0, 0.3) and L [1, 5)
#  [=)                                 [=)     0.9 finds S (rank 1), 0.8 is a short miss (2)
#       [===================)     [====)       0.7 finds L (3), 0.6 is a long miss of 1 s (4)
def test_short_and_long_segments_by_hand():
    proposals = np.array([[0, 0.3, 0.9], [7, 7.3, 0.8], [1, 5, 0.7], [6, 7, 0.6]])
    slices = by_segment_length(pack([np.array([[0, 0.3], [1, 5]])], [proposals]), AV_DEEPFAKE1M)
    assert set(slices) == {"00.0-00.5 s", "02.0 s and more"}
    short, long = slices["00.0-00.5 s"], slices["02.0 s and more"]
    # of the short bucket: hit, miss (the long hit and the long miss are left aside)
    assert (short.ap_full["0.5"], short.ar["5"], short.counts.truths) == (1.0, 1.0, 1)
    # of the long one: the only proposals that count are the hit and none of the short ones
    assert (long.ap_full["0.5"], long.ar["5"]) == (1.0, 1.0)
    assert long.ar["10"] == 1.0
    flipped = proposals.copy()
    flipped[:, 2] = [0.6, 0.7, 0.8, 0.9]
    slices = by_segment_length(pack([np.array([[0, 0.3], [1, 5]])], [flipped]), ACTIVITYNET)
    assert slices["00.0-00.5 s"].ap_full["0.5"] == pytest.approx(1 / 2)  # the short miss stands before the short hit
    assert slices["02.0 s and more"].ap_full["0.5"] == 1.0  # the miss of 1 s belongs to no bucket with truth


def test_buckets_meet_and_cover_everything():
    bounds = list(length_buckets().values())
    assert bounds[0][0] == 0.0
    assert bounds[-1][1] == np.inf
    assert [high for _, high in bounds[:-1]] == [low for low, _ in bounds[1:]]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.sampled_from(list(PROTOCOLS.values())))
def test_where_all_lengths_fall_into_one_bucket_its_slice_is_the_whole(seed, rules):
    rng = np.random.default_rng(seed)
    truths, proposals = [], []
    for _ in range(4):
        starts = rng.uniform(0, 4, rng.integers(0, 3))
        truths.append(np.stack([starts, starts + rng.uniform(0.6, 0.9, len(starts))], axis=1))
        begin = np.concatenate([starts, rng.uniform(0, 4, 3)])
        proposals.append(np.stack([begin, begin + rng.uniform(0.6, 0.9, len(begin)), rng.random(len(begin))], axis=1))
    packed = pack(truths, proposals)
    slices = by_segment_length(packed, rules)
    if packed.num_truths == 0:
        assert slices == {}
        return
    found = candidates(packed, rules)
    (only,) = slices.values()
    assert only.ap == pytest.approx(average_precision(packed, found, rules))
    assert only.ar == pytest.approx(average_recall(packed, found, rules))


def test_labels_of_no_segments_have_no_segment_lengths():
    whole = ClipTruth("w", np.array([[0.0, np.inf]]), is_whole_clip=True)
    found = {"w": ClipProposals("w", 4.0, *[sorted_proposals(np.array([[0, 4, 0.9]]))] * 3, 0.9)}
    report = evaluate(Labels((whole,)), found, slice_by=("segment_length", "forged_length"))
    assert report.slices["segment_length"] == {}
    assert set(report.slices["forged_length"]) == {"unknown"}
