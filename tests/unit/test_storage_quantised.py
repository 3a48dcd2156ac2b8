"""Features in a byte each: a cell by hand, the bound on the error, and a store of them beside one of halves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from storage.quantised import quantised, restored

SPEC = EncoderSpec(name="handcrafted-audio")
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=64, hop_seconds=0.02, fine_dim=8, fine_hop_seconds=0.005)


def entry(name: str, num_cells: int, scale: float = 1.0) -> ClipEntry:
    rng = np.random.default_rng(num_cells)
    main, fine = (
        FeatureTrack(
            (scale * rng.standard_normal((num_cells * times, dim))).astype(np.float32), TimeGrid(hop, num_cells * times)
        )
        for times, dim, hop in ((1, 64, 0.02), (4, 8, 0.005))
    )
    return ClipEntry.encoded(hashlib.sha256(name.encode()).hexdigest(), EncodedTrack(main, fine), num_cells * 0.02)


def test_a_cell_by_hand() -> None:
    """The largest, 254, is 127 steps of 2; 3 is between one step and two, and rounds to the even one."""
    whole, scales = quantised(np.array([[254.0, 3.0, -4.2, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32))
    assert scales.tolist() == [[2.0], [0.0]]
    assert whole.tolist() == [[127, 2, -2, 0], [0, 0, 0, 0]]
    assert restored(whole, scales).tolist() == [[254.0, 4.0, -4.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 9), st.integers(1, 40), st.integers(-8, 8), st.integers(0, 99))
def test_no_number_is_off_by_more_than_half_a_step(num_cells: int, dim: int, exponent: int, seed: int) -> None:
    values = (np.random.default_rng(seed).standard_normal((num_cells, dim)) * 10.0**exponent).astype(np.float32)
    whole, scales = quantised(values)
    assert whole.dtype == np.int8
    assert np.all(np.abs(restored(whole, scales) - values) <= 0.5001 * scales)


def test_what_is_not_finite_is_told(tmp_path: Path) -> None:
    _whole, scales = quantised(np.array([[1.0, np.nan], [np.inf, 1.0], [1.0, 2.0]], np.float32))
    assert np.isfinite(scales[:, 0]).tolist() == [False, False, True]
    broken = entry("broken", 5)
    assert broken.track is not None
    broken.track.main.values[2, 3] = np.nan
    store = FeatureStore(tmp_path, dtype="int8")
    store.commit(STREAM, SPEC, [broken, entry("sound", 6)])
    assert [record.kind for record in store.failures(SPEC.identity)] == ["not-finite"]


def test_a_store_of_bytes_reads_like_one_of_halves_in_little_more_than_half_the_room(tmp_path: Path) -> None:
    clips = [entry("a", 400), entry("b", 700, scale=1e6), entry("c", 1)]
    half, byte = FeatureStore(tmp_path / "half", dtype="float32"), FeatureStore(tmp_path / "byte", dtype="int8")
    for store in (half, byte):
        store.commit(STREAM, SPEC, clips)
    assert byte.verify().is_sound
    for clip in clips:
        for window in (None, Segment(0.0, 0.02), Segment(1.0, 3.5)):
            exact, found = (store.read(SPEC.identity, clip.record.sha256, window) for store in (half, byte))
            assert exact is not None
            assert found is not None
            assert found.track.fine is not None
            for wanted, got in ((exact.track.main, found.track.main), (exact.track.fine, found.track.fine)):
                assert got.grid == wanted.grid
                bound = np.abs(wanted.values).max(axis=1, keepdims=True, initial=0.0) / 253.0
                assert np.all(np.abs(got.values - wanted.values) <= bound)
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).rglob("0")) for name in ("half", "byte")]
    assert 0.25 < sizes[1] / sizes[0] < 0.35, "against float32"


def test_packs_of_both_kinds_live_in_one_store(tmp_path: Path) -> None:
    FeatureStore(tmp_path).commit(STREAM, SPEC, [entry("a", 30)])
    store = FeatureStore(tmp_path, dtype="int8")
    assert store.missing(SPEC.identity, [entry(name, 30).record.sha256 for name in "ab"]) == [
        entry("b", 30).record.sha256
    ]
    store.commit(STREAM, SPEC, [entry("b", 30)])
    found = [FeatureStore(tmp_path).read(SPEC.identity, entry(name, 30).record.sha256) for name in "ab"]
    assert all(one is not None for one in found)
    values = [one.track.main.values for one in found if one is not None]
    assert values[0] == pytest.approx(values[1], abs=0.02), "the same numbers, in halves and in bytes"
