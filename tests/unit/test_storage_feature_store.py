"""The feature store: what goes in comes out, and the store knows what it lacks."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry, ClipRecord
from storage.feature_store import FeatureStore
from storage.keys import pack_folder
from storage.pack import load_pack
from storage.ragged import RaggedWriter
from storage.shards import OpenShards

SPEC = EncoderSpec(name="handcrafted-audio")
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=3, hop_seconds=0.02, fine_dim=2, fine_hop_seconds=0.005)


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def track(values: np.ndarray, hop_seconds: float) -> FeatureTrack:
    return FeatureTrack(values, TimeGrid(hop_seconds, len(values)))


def entry(name: object, num_cells: int, seed: int = 0, **hints: object) -> ClipEntry:
    rng = np.random.default_rng(seed)
    main = track(rng.standard_normal((num_cells, 3)).astype(np.float32), 0.02)
    fine = track(rng.standard_normal((num_cells * 4, 2)).astype(np.float32), 0.005)
    return ClipEntry.encoded(sha(name), EncodedTrack(main, fine), num_cells * 0.02, **hints)


def test_a_clip_by_hand(tmp_path: Path) -> None:
    # four cells of 0.02 s:  0    0.02   0.04   0.06   0.08
    # window [0.02, 0.06)         [=============)        owns the centres 0.03 and 0.05
    main = track(np.arange(12, dtype=np.float32).reshape(4, 3), 0.02)
    fine = track(np.arange(32, dtype=np.float32).reshape(16, 2), 0.005)
    store = FeatureStore(tmp_path)
    store.commit(STREAM, SPEC, [entry("other", 7), ClipEntry.encoded(sha("a"), EncodedTrack(main, fine), 0.08)])
    found = store.read(SPEC.identity, sha("a"), Segment(0.02, 0.06))
    assert found is not None
    assert found.track.fine is not None
    assert found.track.main.values.tolist() == [[3, 4, 5], [6, 7, 8]]
    assert found.track.fine.values.tolist() == [[2 * i, 2 * i + 1] for i in range(4, 12)]
    assert found.duration_seconds == 0.08
    assert found.track.main.values.dtype == np.float16


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=6),
    st.floats(0, 1.5),
    st.floats(0.001, 1.0),
    st.sampled_from(["float16", "float32"]),
)
def test_any_window_equals_slicing_the_whole(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], start: float, duration: float, dtype: str
) -> None:
    store = FeatureStore(tmp_path_factory.mktemp("store"), dtype=dtype)
    clips = [entry(i, length, seed=i) for i, length in enumerate(lengths)]
    store.commit(STREAM, SPEC, clips)
    window = Segment(start, start + duration)
    for clip in clips:
        whole, part = (store.read(SPEC.identity, clip.record.sha256, w) for w in (None, window))
        assert whole is not None
        assert part is not None
        for given_track, read, cut in (
            (clip.track.main, whole.track.main, part.track.main),
            (clip.track.fine, whole.track.fine, part.track.fine),
        ):
            assert np.array_equal(read.values, given_track.values.astype(dtype))
            assert read.grid == given_track.grid
            assert np.array_equal(cut.values, read.window(window).values)
            assert cut.grid == read.window(window).grid


@pytest.mark.parametrize(("num_clips", "has_preadv"), [(1, True), (9, True), (9, False)])
def test_many_shards_read_as_zarr_reads_them(
    tmp_path: Path, num_clips: int, has_preadv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_preadv:  # as on macOS
        monkeypatch.delattr(os, "preadv")
    rng = np.random.default_rng(1)
    clips = [rng.standard_normal((int(n), 5)).astype(np.float16) for n in rng.integers(20_000, 60_000, num_clips)]
    group = zarr.create_group(str(tmp_path / "g.zarr"), zarr_format=3)
    writer = RaggedWriter(group, "values", 5, "float16", shard_bytes=1 << 20)
    for values in clips:
        writer.append(values)
    layout = writer.close()
    expected = np.concatenate(clips)
    array = tmp_path / "g.zarr" / "values"
    assert len(list((array / "c").iterdir())) == -(-len(expected) // layout.shard_rows)
    assert np.array_equal(zarr.open_array(str(array), mode="r")[:], expected)
    shards = OpenShards(max_files=2)
    for first, last in [(0, 1), (0, len(expected)), *np.sort(rng.integers(0, len(expected), (20, 2))).tolist()]:
        assert np.array_equal(shards.read_rows(array, layout, first, last), expected[first:last])


def test_missing_absent_and_failed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    names = [sha(n) for n in ("ok", "silent", "broken", "slow", "never")]
    assert store.missing(SPEC.identity, [*names, names[0]]) == names
    clips = [
        entry("ok", 10),
        ClipEntry.absent(names[1], 2.0, video_id="silent.mp4"),
        ClipEntry.failed(names[2], kind="corrupt", reason="no moov atom", video_id="broken.mp4"),
        ClipEntry.failed(names[3], kind="timeout", reason="took more than 60 s"),
    ]
    store.commit(STREAM, SPEC, iter(clips))
    assert store.missing(SPEC.identity, names) == [names[3], names[4]]
    assert store.missing(SPEC.identity, names, retry_failed=True) == names[2:]
    assert store.complete(SPEC.identity, names[:3])
    assert not store.complete(SPEC.identity, names)
    assert store.read(SPEC.identity, names[1]) is None
    with pytest.raises(ValueError, match=r"broken.mp4 .*corrupt.*no moov atom.*mend the file"):
        store.read(SPEC.identity, names[2])
    with pytest.raises(KeyError, match="extract it first"):
        store.read(SPEC.identity, names[4])
    assert sorted(failure.kind for failure in store.failures(SPEC.identity)) == ["corrupt", "timeout"]
    assert [f.reason for f in store.failures(SPEC.identity, names[:3])] == ["no moov atom"]
    assert store.records(SPEC.identity, names)[names[1]] == clips[1].record
    assert len(store.records(SPEC.identity, names)) == 4


def test_a_later_success_hides_an_earlier_failure(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.commit(STREAM, SPEC, [ClipEntry.failed(sha("a"), kind="timeout", reason="slow"), entry("b", 5)])
    store.commit(STREAM, SPEC, [entry("a", 8)])
    for opened in (store, FeatureStore(tmp_path)):
        found = opened.read(SPEC.identity, sha("a"))
        assert found is not None
        assert found.track.main.grid.num_cells == 8
        assert opened.failures(SPEC.identity) == []
        assert opened.complete(SPEC.identity, [sha("a"), sha("b")])


def test_a_pack_of_failures_only(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.commit(STREAM, SPEC, [ClipEntry.failed(sha("a"), kind="corrupt", reason='said "seal": "0"')])
    assert store.verify().is_sound
    assert FeatureStore(tmp_path).failures(SPEC.identity)[0].reason == 'said "seal": "0"'


def test_features_that_do_not_fit_are_a_failure_of_that_clip(tmp_path: Path) -> None:
    huge, broken = np.full((5, 3), 1e6, np.float32), np.full((5, 3), np.nan, np.float32)
    clips = [
        ClipEntry.encoded(sha(name), EncodedTrack(track(values, 0.02), entry(name, 5).track.fine), 0.1, video_id=name)
        for name, values in (("huge", huge), ("broken", broken))
    ]
    store = FeatureStore(tmp_path / "half")
    store.commit(STREAM, SPEC, [*clips, entry("fine", 5)])
    assert {f.video_id: f.kind for f in store.failures(SPEC.identity)} == {"huge": "overflow", "broken": "not-finite"}
    assert store.read(SPEC.identity, sha("fine")) is not None
    wide = FeatureStore(tmp_path / "wide", dtype="float32")
    wide.commit(STREAM, SPEC, clips[:1])
    assert wide.read(SPEC.identity, sha("huge")).track.main.values.max() == np.float32(1e6)


def test_the_same_clips_make_the_same_pack_whatever_their_order_and_names(tmp_path: Path) -> None:
    clips = [entry("a", 5, video_id="one"), entry("b", 6)]
    renamed = [entry("b", 6, seed=3), entry("a", 5, video_id="two", path="x.mp4"), entry("a", 5)]
    first = FeatureStore(tmp_path).commit(STREAM, SPEC, clips)
    assert FeatureStore(tmp_path).commit(STREAM, SPEC, renamed) == first
    assert [pack.digest for pack in FeatureStore(tmp_path).packs(SPEC.identity)] == [first]
    assert FeatureStore(tmp_path).commit(STREAM, SPEC, [entry("a", 5), entry("b", 7)]) != first


def test_wrong_entries_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with pytest.raises(ValueError, match=r"the stream wants 50 cells of 0.02 s with 3"):
        store.commit(STREAM, SPEC, [ClipEntry.encoded(sha("a"), entry("a", 10).track, 1.0)])
    with pytest.raises(ValueError, match="exactly where the stream has one"):
        store.commit(STREAM, SPEC, [ClipEntry.encoded(sha("a"), EncodedTrack(entry("a", 10).track.main), 0.2)])
    with pytest.raises(ValueError, match="at least one clip"):
        store.commit(STREAM, SPEC, [])
    with pytest.raises(ValueError, match="pass the encoder's own"):
        store.commit(STREAM, EncoderSpec(name="wavlm"), [entry("a", 5)])
    with pytest.raises(ValueError, match="SHA-256"):
        store.missing("wavlm", [])
    assert store.packs(SPEC.identity) == []
    assert list((tmp_path / ".staging").iterdir()) == []


def test_provenance_travels_with_the_pack(tmp_path: Path) -> None:
    digest = FeatureStore(tmp_path).commit(STREAM, SPEC, [entry("a", 5, warnings=("no face",), reader="decord")])
    folder = pack_folder(tmp_path, SPEC.identity, digest)
    pack = load_pack(folder)
    assert (pack.encoder, pack.stream, pack.digest) == (SPEC, STREAM, digest)
    assert pack.versions["zarr"] == zarr.__version__
    attributes = dict(zarr.open_group(str(folder), mode="r").attrs)
    assert ClipRecord.from_plain(attributes["clips"][0]).warnings == ("no face",)
    assert zarr.open_group(str(folder), mode="r")["offsets"][:].tolist() == [0, 5]
    assert len([path for path in folder.rglob("*") if path.is_file()]) <= 10
    assert json.loads((folder / "zarr.json").read_bytes())["zarr_format"] == 3


def test_threads_and_pickles_read_the_same(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_open_files=1)
    clips = [entry(i, 30 + i, seed=i) for i in range(12)]
    for first in range(0, 12, 3):
        store.commit(STREAM, SPEC, clips[first : first + 3])
    again = pickle.loads(pickle.dumps(store))

    def same(clip: ClipEntry) -> bool:
        found = [s.read(SPEC.identity, clip.record.sha256).track.main.values for s in (store, again)]
        return all(np.array_equal(values, clip.track.main.values.astype(np.float16)) for values in found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(same, clips * 8))


def test_a_pack_committed_elsewhere_is_found(tmp_path: Path) -> None:
    reader, writer = FeatureStore(tmp_path), FeatureStore(tmp_path)
    assert reader.missing(SPEC.identity, [sha("a")]) == [sha("a")]
    writer.commit(STREAM, SPEC, [entry("a", 5)])
    assert reader.read(SPEC.identity, sha("a")) is not None
