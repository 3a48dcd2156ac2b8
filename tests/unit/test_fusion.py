"""Fusion of both streams' proposals."""

from __future__ import annotations

import math

import numpy as np

from iamsb_core.localization.fusion import fuse_union, fuse_union_clips

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
