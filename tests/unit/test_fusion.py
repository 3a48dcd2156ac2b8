"""Fusion of both streams' proposals."""

from __future__ import annotations

import math

import numpy as np

from iamsb_core.localization.fusion import fuse_elementary, fuse_union, fuse_union_clips

#  0    1    2    3    4    5    6   seconds
#  [=========)                        audio   0.9
#  [=========)                        visual  0.8   the same stretch
#                      [=========)    visual  0.4
AUDIO = np.array([[0.0, 2.0, 0.9]])
VISUAL = np.array([[0.0, 2.0, 0.8], [4.0, 6.0, 0.4]])


def test_union_counts_a_stretch_both_streams_saw_once():
    fused = fuse_union(AUDIO, VISUAL, sigma=0.5)
    np.testing.assert_allclose(fused[:, 2], [0.9, 0.4, 0.8 * math.exp(-2)], rtol=1e-6)
    np.testing.assert_array_equal(fused[:, 0], [0.0, 4.0, 0.0])


def test_union_leaves_one_stream_alone():
    crowded = np.array([[0.0, 2.0, 0.9], [0.1, 2.0, 0.8], [0.2, 2.0, 0.7]])
    empty = np.empty((0, 3))
    np.testing.assert_allclose(fuse_union(crowded, empty), crowded, rtol=1e-6)
    np.testing.assert_allclose(fuse_union(empty, crowded), crowded, rtol=1e-6)
    assert fuse_union(empty, empty).shape == (0, 3)
    assert len(fuse_union(crowded, crowded, max_proposals=2)) == 2


def test_union_of_many_clips_is_the_union_of_each():
    empty = np.empty((0, 3))
    together = fuse_union_clips([AUDIO, empty], [VISUAL, AUDIO])
    np.testing.assert_array_equal(together[0], fuse_union(AUDIO, VISUAL))
    np.testing.assert_array_equal(together[1], fuse_union(empty, AUDIO))


#  0    1    2    3    4    5   seconds
#  [=========)                   audio   0.9
#       [=========)              visual  0.85    joined with it: [0, 3)
#                      [====)    visual  0.3
def test_elementary_joins_overlapping_segments_of_both_streams():
    visual = np.array([[1.0, 3.0, 0.85], [4.0, 5.0, 0.3]])
    fused = fuse_elementary(AUDIO, visual, similar_score=0.1)
    # pieces [0,1) .9, [1,2) .9, [2,3) .85: mean over time (0.9 * 2 + 0.85) / 3
    np.testing.assert_allclose(fused, [[0.0, 3.0, 2.65 / 3], [4.0, 5.0, 0.3]], rtol=1e-6)


def test_elementary_keeps_pieces_of_unlike_score_apart():
    fused = fuse_elementary(AUDIO, np.array([[1.0, 3.0, 0.2]]), similar_score=0.1)
    np.testing.assert_allclose(fused, [[0.0, 2.0, 0.9], [2.0, 3.0, 0.2]], rtol=1e-6)


def test_elementary_drops_what_is_weak_or_too_short_and_takes_empty_lists():
    empty = np.empty((0, 3))
    assert fuse_elementary(empty, empty).shape == (0, 3)
    assert fuse_elementary(np.array([[0.0, 1.0, 0.01]]), empty).shape == (0, 3)
    slivers = np.array([[0.0, 1.0, 0.9], [0.99, 2.0, 0.2]])
    assert len(fuse_elementary(slivers, empty)) == 2
    assert len(fuse_elementary(slivers, empty, max_proposals=1)) == 1
    # a zero-length proposal covers nothing
    assert fuse_elementary(np.array([[1.0, 1.0, 0.9]]), empty).shape == (0, 3)
