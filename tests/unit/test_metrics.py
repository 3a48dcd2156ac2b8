"""AP and AR: examples that can be redone by hand, then laws."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.metrics.average_precision import average_precision
from iamsb_core.metrics.average_recall import average_recall
from iamsb_core.metrics.matching import candidates
from iamsb_core.metrics.packed import Packed, pack
from iamsb_core.metrics.protocols import ACTIVITYNET, AV_DEEPFAKE1M, DDL_AV, PROTOCOLS, Area, Protocol, protocol
from iamsb_core.metrics.tiou import pairwise_tiou

Clips = list[tuple[list[list[float]], list[list[float]]]]
"""for each clip its truth, [start, end], and its proposals, [start, end, score]"""


def packed(clips: Clips) -> Packed:
    truths = [np.asarray(truth, dtype=float).reshape(-1, 2) for truth, _ in clips]
    return pack(truths, [np.asarray(proposals, dtype=float).reshape(-1, 3) for _, proposals in clips])


def ap(clips: Clips, rules: Protocol = AV_DEEPFAKE1M, *, area: Area | None = None) -> dict[str, float | None]:
    flat = packed(clips)
    return average_precision(flat, candidates(flat, rules), rules, area=area)


def ar(clips: Clips, rules: Protocol = AV_DEEPFAKE1M) -> dict[str, float | None]:
    flat = packed(clips)
    return average_recall(flat, candidates(flat, rules), rules)


#  0    1    2    3    4   seconds
#  [=========)              [0, 2)
#       [==============)    [1, 4)   overlap 1, union 4
@pytest.mark.parametrize("overlap", ["union", "hull"])
def test_tiou_by_hand(overlap):
    assert pairwise_tiou(np.array([[0.0, 2.0]]), np.array([[1.0, 4.0]]), overlap=overlap) == pytest.approx(0.25)


def test_tiou_of_segments_apart_empty_or_inverted_is_zero():
    a = np.array([[0.0, 1.0]])
    others = np.array([[1.0, 2.0], [5.0, 6.0], [0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_array_equal(pairwise_tiou(a, others), np.zeros((1, 4)))
    np.testing.assert_array_equal(pairwise_tiou(a, others, overlap="hull"), np.zeros((1, 4)))


@pytest.mark.parametrize(("num", "official"), [(1, 0.0), (2, 0.5), (4, 0.75), (10, 0.9)])
def test_perfect_predictions_get_one_less_one_truth_officially(num, official):
    clips: Clips = [([[0, 1]], [[0, 1, 0.9]]) for _ in range(num)]
    assert ap(clips) == pytest.approx(dict.fromkeys(("0.5", "0.75", "0.9", "0.95"), official))
    assert ap(clips, area="full") == dict.fromkeys(("0.5", "0.75", "0.9", "0.95"), 1.0)


@pytest.mark.parametrize(("num", "official"), [(1, 0.5), (2, 2 / 3), (4, 0.8), (10, 10 / 11)])
def test_a_false_positive_ranked_first_raises_the_official_area(num, official):
    clips: Clips = [([[0, 1]], [[0, 1, 0.5]]) for _ in range(num)]
    clips[0][1].append([5, 6, 0.9])
    assert ap(clips)["0.5"] == pytest.approx(official)


#  ranking over all clips   0.9    0.8    0.7    0.6
#  hit?                      x     yes     x     yes      3 truths
#  precision                       1/2           2/4      area 1/3 * 1/2 + 1/3 * 1/2
def test_ap_by_hand():
    clips: Clips = [
        ([[0, 2]], [[0, 2, 0.8], [0, 2, 0.7]]),  # the second sighting of one truth is a false positive
        ([[1, 3], [5, 6]], [[1, 3, 0.6]]),
        ([], [[0, 1, 0.9]]),  # in a genuine clip
    ]
    for rules in (AV_DEEPFAKE1M, ACTIVITYNET):
        assert ap(clips, rules)["0.5"] == pytest.approx(1 / 3)
    # fake clips only: yes, x, yes gives 1/3 * 1 + 1/3 * 2/3
    assert ap(clips, DDL_AV)["0.5"] == pytest.approx(5 / 9)


#  0    1    2   seconds
#  [=========)   truth [0, 2)
#  [====)        proposal [0, 1): tiou exactly 0.5
def test_a_tie_with_the_threshold_is_a_hit_only_where_the_protocol_says_so():
    clips: Clips = [([[0, 2]], [[5, 6, 0.9], [0, 1, 0.5]])]
    assert ap(clips, AV_DEEPFAKE1M)["0.5"] == 0.0
    assert ap(clips, ACTIVITYNET)["0.5"] == 0.5
    assert ar(clips, AV_DEEPFAKE1M)["100"] == 0.0
    assert ar(clips, DDL_AV)["100"] == pytest.approx(0.1)  # one threshold of ten


#  0    1    2    3    4    5   seconds
#  [===================)        truth A [0, 4)
#       [===================)   truth B [1, 5)
#       [===================)   p 0.9  [1, 5): tiou with A 0.6, with B 1
#       [==============)        p 0.8  [1, 4): tiou with both 0.75
def test_first_and_best_matching_differ_where_truths_overlap():
    clips: Clips = [([[0, 4], [1, 5]], [[1, 5, 0.9], [1, 4, 0.8]])]
    both = replace(AV_DEEPFAKE1M, ap_tious=(0.55, 0.7))
    # at 0.55 A, first in the list, takes p 0.9, and B takes p 0.8; at 0.7 A takes p 0.8 and B p 0.9
    assert ap(clips, both, area="full") == {"0.55": 1.0, "0.7": 1.0}
    once: Clips = [([[0, 4], [1, 5]], [[1, 5, 0.9], [9, 10, 0.85], [0.5, 4, 0.8]])]
    # p 0.8 hits A by 0.875 and B by 0.67; both matchings find two hits, at ranks 1 and 3
    assert ap(once, replace(ACTIVITYNET, ap_tious=(0.6,)))["0.6"] == pytest.approx((1 + 2 / 3) / 2)


def test_best_matching_gives_a_rejected_proposal_its_second_choice():
    # both prefer B (tiou 1 and 0.9); the better scored gets it, the other falls back on A (tiou 0.55)
    clips: Clips = [([[0.0, 0.55], [0.0, 1.0]], [[0.0, 1.0, 0.9], [0.0, 0.9, 0.8]])]
    assert ap(clips, replace(ACTIVITYNET, ap_tious=(0.5,)))["0.5"] == 1.0


#  truth [0, 10); proposals by falling score: a miss, tiou 0.62, tiou 0.82
def test_ar_by_hand():
    clips: Clips = [([[0, 10]], [[20, 30, 0.9], [0, 6.2, 0.8], [0, 8.2, 0.7]]), ([], [[0, 1, 0.9]])]
    rules = replace(AV_DEEPFAKE1M, ar_counts=(3, 2, 1))
    # thresholds 0.5 .. 0.8 are hit within 3 (7 of 10), 0.5 .. 0.6 within 2 (3 of 10), none within 1
    assert ar(clips, rules) == pytest.approx({"3": 0.7, "2": 0.3, "1": 0.0})


def test_activitynet_ar_averages_counts_over_clips():
    # two forged clips of 3 and 1 proposals: a mean of 1 is a third and more of each list: int(3 * 0.5), int(1 * 0.5)
    clips: Clips = [([[0, 1]], [[5, 6, 0.9], [0, 1, 0.8], [0, 1, 0.7]]), ([[0, 1]], [[0, 1, 0.9]])]
    rules = replace(ACTIVITYNET, ar_counts=(2, 1))
    assert ar(clips, rules) == {"2": 1.0, "1": 0.0}
    assert ar(clips, replace(AV_DEEPFAKE1M, ar_counts=(2, 1))) == {"2": 1.0, "1": 0.5}


def test_nothing_to_find_or_nothing_found():
    assert ap([([], [[0, 1, 0.5]])]) == dict.fromkeys(("0.5", "0.75", "0.9", "0.95"))
    assert set(ar([([], [[0, 1, 0.5]])]).values()) == {None}
    for rules in PROTOCOLS.values():
        assert set(ap([([[0, 1]], [])], rules).values()) == {0.0}
        assert set(ar([([[0, 1]], [])], rules).values()) == {0.0}
    assert ap([]) == dict.fromkeys(("0.5", "0.75", "0.9", "0.95"))


def test_lists_are_mended_and_it_is_told():
    clips: Clips = [
        ([[0, 1], [2, 3]], [[0, 1, 0.5], [2, 3, 0.9]]),  # not sorted
        ([], [[0, 1, np.nan], [np.inf, 2, 0.5]]),
        ([[4, 5]], []),
        ([], [[3, 2, 0.9], [1, 1, 0.3]]),  # inverted, empty
        ([[0, 1]], [[0, 1, 0.7]]),
    ]
    flat = packed(clips)
    assert len(flat.warnings) == 4
    assert "2 proposals hold NaN" in flat.warnings[0]
    assert "1 proposals end before they start" in flat.warnings[1]
    assert "lists of 1 clips were not by falling score" in flat.warnings[2]
    assert "1 proposals have no length" in flat.warnings[3]
    np.testing.assert_array_equal(np.diff(flat.proposal_offsets), [2, 0, 0, 2, 1])
    np.testing.assert_array_equal(flat.proposals[:2, 2], np.float32([0.9, 0.5]))


def test_lists_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="do not pair"):
        pack([np.empty((0, 2))], [])


def test_an_unknown_protocol_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'av-deepfake1m'"):
        protocol("AV-Deepfake-1M")


# --- laws ---


@st.composite
def clips_of(draw: st.DrawFn) -> Clips:
    """Up to four clips; truths and proposals on a grid of 0.1 s so that ties and duplicates occur; distinct scores."""
    clips: Clips = []
    num = draw(st.integers(1, 4))
    scores = iter(draw(st.permutations(range(1, 1 + num * 6))))
    for _ in range(num):
        tenths = st.tuples(st.integers(0, 30), st.integers(1, 15)).map(lambda t: [t[0] / 10, (t[0] + t[1]) / 10])
        truths = draw(st.lists(tenths, max_size=3))
        segments = draw(st.lists(tenths, max_size=6))
        clips.append((truths, [[*segment, next(scores) / 32] for segment in segments]))
    return clips


RULES = st.sampled_from(list(PROTOCOLS.values()))


@settings(deadline=None, max_examples=60)
@given(clips_of(), RULES, st.randoms(use_true_random=False))
def test_order_of_proposals_and_of_clips_does_not_matter(clips, rules, random):
    shuffled = [(truth, random.sample(proposals, len(proposals))) for truth, proposals in clips]
    random.shuffle(shuffled)
    assert ap(shuffled, rules) == pytest.approx(ap(clips, rules))
    assert ar(shuffled, rules) == pytest.approx(ar(clips, rules))


@settings(deadline=None, max_examples=60)
@given(clips_of(), st.sampled_from([AV_DEEPFAKE1M, ACTIVITYNET, DDL_AV]))
def test_full_ap_and_ar_are_bounded_and_ar_rises_with_the_count(clips, rules):
    values = [value for value in ap(clips, rules, area="full").values() if value is not None]
    assert all(0.0 <= value <= 1.0 + 1e-12 for value in values)
    recalls = [value for value in ar(clips, rules).values() if value is not None]
    assert recalls == sorted(recalls, reverse=True)  # counts fall from 100 to 5


@settings(deadline=None, max_examples=60)
@given(clips_of(), RULES)
def test_full_ap_and_ar_do_not_rise_with_the_threshold_for_disjoint_truth(clips, rules):
    # from 0.5 on a proposal hits one of several disjoint truths at most, so matches at a threshold are matches below it
    apart = []
    for truth, proposals in clips:
        shifts = [4 * place for place in range(len(truth))]
        spread = [[start + shift, end + shift] for (start, end), shift in zip(truth, shifts, strict=True)]
        moved = [[p[0] + 4 * (i % 3), p[1] + 4 * (i % 3), p[2]] for i, p in enumerate(proposals)]
        apart.append((spread, moved))
    values = list(ap(apart, rules, area="full").values())
    recalls = [ar(apart, replace(rules, ar_tious=(tiou,)))["100"] for tiou in rules.ap_tious]
    if values[0] is not None:
        assert all(a >= b - 1e-12 for a, b in pairwise(values))
        assert all(a >= b - 1e-12 for a, b in pairwise(recalls))


@settings(deadline=None, max_examples=60)
@given(clips_of(), RULES)
def test_official_area_is_full_area_less_at_most_one_truth(clips, rules):
    full, official = ap(clips, rules, area="full"), ap(clips, rules, area="official")
    num_truths = sum(len(truth) for truth, _ in clips)
    for key, value in full.items():
        if value is not None:
            assert -1e-6 <= value - official[key] <= 1 / num_truths + 1e-6  # the official one is in float32


@settings(deadline=None, max_examples=60)
@given(clips_of(), clips_of())
def test_tiou_is_symmetric_and_bounded(first, second):
    a, b = packed(first).truths, packed(second).truths
    for overlap in ("union", "hull"):
        values = pairwise_tiou(a, b, overlap=overlap)
        np.testing.assert_allclose(values, pairwise_tiou(b, a, overlap=overlap).T)
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    np.testing.assert_allclose(pairwise_tiou(a, b, overlap="hull"), pairwise_tiou(a, b), atol=1e-12)
    np.testing.assert_allclose(np.diag(pairwise_tiou(a, a)), 1.0)
