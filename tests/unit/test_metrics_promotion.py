"""Whether a model replaces another: numbers redone by hand, then laws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.metrics.bootstrap import paired_selections
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.labels import Labels
from iamsb_core.metrics.promotion import JudgedSet, PromotionRule, SliceResult, decide
from iamsb_core.timeline import Segment
from iamsb_core.training.validation import selection

TRUTH = (1.0, 2.0)
OF_GENERATOR = {"old": 20, "new": 20}
PATIENT = PromotionRule(num_replicates=200)


def labels() -> Labels:
    """20 clips of each of two generators, forged in the sound from 1 s to 2 s, and 20 genuine ones."""
    videos = [
        VideoRecord(
            video_id=f"{generator}{n:02d}",
            path=Path("x"),
            split="test",
            duration_seconds=4.0,
            forgeries=(Forgery(Segment(*TRUTH), Modality.AUDIO),) if generator != "real" else (),
            generator=None if generator == "real" else generator,
        )
        for generator, num in (*OF_GENERATOR.items(), ("real", 20))
        for n in range(num)
    ]
    return Labels.of_manifest(Manifest("set", Path(), tuple(videos)))


def says(**found: int) -> dict[str, ClipProposals]:
    """A model that finds so many clips of each generator exactly, and nothing else."""
    rows = {}
    for clip in labels().clips:
        hit = clip.is_forged and int(clip.video_id[3:]) < found[clip.video_id[:3]]
        audio = sorted_proposals(np.array([(*TRUTH, 0.9)] if hit else []).reshape(-1, 3))
        none = sorted_proposals(np.empty((0, 3)))
        rows[clip.video_id] = ClipProposals(clip.video_id, 4.0, audio, none, audio, 0.9 if hit else 0.1)
    return rows


def judged(candidate: dict[str, ClipProposals], champion: dict[str, ClipProposals]) -> JudgedSet:
    return JudgedSet(name="set", labels=labels(), candidate=candidate, champion=champion)


def of_slice(results: tuple[SliceResult, ...], group: str) -> SliceResult:
    return next(one for one in results if one.group == group)


def test_better_everywhere_is_promoted():
    """AP is the share found where nothing is found wrongly: 30 of 40 against 20 of 40, so 0.75 against 0.5."""
    done = decide([judged(says(old=15, new=15), says(old=10, new=10))], PATIENT)
    assert done.promote
    assert (done.candidate, done.champion) == pytest.approx((0.75, 0.5))
    assert done.difference.estimate == pytest.approx(0.25)
    assert done.difference.low > 0
    assert done.reasons[0].startswith("the mean over the test sets is +25.00 points higher")
    assert of_slice(done.slices, "old").candidate == pytest.approx(15 / 20)


def test_better_on_the_whole_and_worse_on_a_slice_is_not():
    """30 of 40 against 20 of 40, but of the old generator's 9 of 20 against 10: a fall of 5 points."""
    pair = judged(says(old=9, new=20), says(old=10, new=10))
    done = decide([pair], PATIENT)
    assert not done.promote
    assert of_slice(done.slices, "old").fall == pytest.approx(0.05)
    assert done.reasons == ("set, generator old: falls by 5.00 points to 45.00, more than the 2 that are tolerated",)
    assert decide([pair], PromotionRule(num_replicates=200, tolerance=0.05)).promote, "tolerated, to the last digit"
    few = decide([pair], PromotionRule(num_replicates=200, min_slice_clips=21))
    assert few.promote
    assert not of_slice(few.slices, "old").decides


def test_what_chance_explains_is_not_better():
    done = decide([judged(says(old=10, new=11), says(old=10, new=10))], PATIENT)
    assert not done.promote
    assert "+2.50 points higher, which chance explains too well" in done.reasons[0]
    assert decide(
        [judged(says(old=10, new=11), says(old=10, new=10))], PromotionRule(num_replicates=200, max_p_value=1.0)
    ).promote


def test_every_test_set_is_guarded():
    better = judged(says(old=20, new=20), says(old=5, new=5))
    worse = JudgedSet(name="field", labels=labels(), candidate=says(old=9, new=9), champion=says(old=10, new=10))
    done = decide([better, worse], PATIENT)
    assert done.candidate == pytest.approx((1.0 + 18 / 40) / 2)
    assert not done.promote
    assert done.reasons[0].startswith("field: falls by 5.00 points to 45.00")


def test_the_same_predictions_are_no_better_and_a_missing_clip_counts_as_nothing_found():
    same = says(old=10, new=10)
    done = decide([judged(same, same)], PATIENT)
    assert not done.promote
    assert done.difference.estimate == 0.0
    lacking = {name: clip for name, clip in same.items() if name != "old00"}
    assert decide([judged(lacking, same)], PATIENT).candidate == pytest.approx(19 / 40)


def test_whole_clip_labels_are_compared_by_auc():
    """A model that is right of 3 forged and 1 genuine clip, and one that says the same of all: 1 against 0.5."""
    videos = [
        VideoRecord(
            video_id=str(n),
            path=Path("x"),
            split="test",
            duration_seconds=4.0,
            label="clip",
            forged_streams=Modality.AUDIO if n else Modality(0),
        )
        for n in range(4)
    ]
    none = sorted_proposals(np.empty((0, 3)))
    right = {str(n): ClipProposals(str(n), 4.0, none, none, none, 0.9 if n else 0.1) for n in range(4)}
    blank = {str(n): ClipProposals(str(n), 4.0, none, none, none, 0.5) for n in range(4)}
    known = Labels.of_manifest(Manifest("set", Path(), tuple(videos)))
    done = decide([JudgedSet(name="set", labels=known, candidate=right, champion=blank)], PATIENT)
    assert (done.candidate, done.champion) == (1.0, 0.5)
    genuine = JudgedSet(name="real", labels=Labels(known.clips[:1]), candidate=right, champion=blank)
    with pytest.raises(ValueError, match=r"real cannot tell two models apart.*0 forged of 1"):
        decide([genuine], PATIENT)


def test_wrong_rules_and_no_set_are_refused():
    for wrong in ({"tolerance": -0.1}, {"max_p_value": 2.0}, {"num_replicates": 0}, {"level": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
            PromotionRule(**wrong)
    with pytest.raises(ValueError, match="at least one test set"):
        decide([], PATIENT)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**16))
def test_the_number_is_the_one_that_models_are_chosen_by(seed: int):
    rng = np.random.default_rng(seed)
    noisy = {}
    for clip in labels().clips:
        rows = [sorted_proposals(np.c_[rng.uniform(0, 2, 4), rng.uniform(2, 4, 4), rng.random(4)]) for _ in range(3)]
        noisy[clip.video_id] = ClipProposals(clip.video_id, 4.0, *rows, float(rng.random()))
    found = paired_selections(labels(), (noisy, says(old=3, new=4)), rng=rng, num_replicates=2)
    assert found.shape == (3, 2)
    assert found[0, 0] == pytest.approx(selection(evaluate(labels(), noisy)), abs=1e-9)
    assert found[0, 1] == pytest.approx(7 / 40)
