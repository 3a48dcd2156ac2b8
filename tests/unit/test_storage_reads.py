"""Reading features for training: where rows lie in a shard, mapped files, and rows that are written into a batch."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import multiprocessing
import os
import resource
import shutil
import weakref
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.data.collate import collate, gather
from iamsb_core.data.dataset import ClipDataset, read_item
from iamsb_core.data.rows import Rows
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.manifest import Modality, VideoRecord
from iamsb_core.media.clip import FrameView
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.errors import DamagedFeaturesError
from storage.feature_source import StoredFeatures
from storage.feature_store import FeatureStore
from storage.mapped import MappedShard
from storage.pack_writer import StoreDtype
from storage.ragged import RaggedLayout
from storage.shards import OpenShards

SPEC = EncoderSpec(name="handcrafted-audio")
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=6, hop_seconds=0.02, fine_dim=2, fine_hop_seconds=0.005)


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def entry(name: int, num_cells: int) -> ClipEntry:
    rng = np.random.default_rng(name)
    main, fine = (
        FeatureTrack(rng.standard_normal((num_cells * n, dim)).astype(np.float32), TimeGrid(hop, num_cells * n))
        for n, dim, hop in ((1, 6, 0.02), (4, 2, 0.005))
    )
    return ClipEntry.encoded(sha(name), EncodedTrack(main, fine), num_cells * 0.02)


def filled(root: Path, lengths: list[int], dtype: StoreDtype = "float16", clips_per_pack: int = 3) -> FeatureStore:
    store = FeatureStore(root, dtype=dtype)
    for first in range(0, len(lengths), clips_per_pack):
        part = enumerate(lengths[first : first + clips_per_pack], first)
        store.commit(STREAM, SPEC, [entry(name, length) for name, length in part])
    return store


def written(rows: Rows) -> np.ndarray:
    out = np.full((rows.grid.num_cells, rows.dim), np.nan, np.float32)
    rows.write(out)
    return out


def shards_of(root: Path) -> list[Path]:
    return sorted(root.glob("v1/*/*.zarr/values/c/*/0"))


def rot(path: Path, position: int) -> None:
    """Flip a bit and keep the file's size and its time, as rot does."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


#  chunk of 16 rows of 2 halves: 64 bytes and 4 of checksum; two chunks and an index of 2 x 16 + 4 bytes
#  byte   0            64  68           132 136            172
#         | rows 0..15 |crc| rows 16..31 |crc| index        |
def test_a_shard_by_hand(tmp_path: Path) -> None:
    chunks = [np.arange(32 * number, 32 * number + 32, dtype="<f2").tobytes() for number in range(2)]
    index = np.array([[0, 68], [68, 68]], "<u8").tobytes()
    path = tmp_path / "0"
    path.write_bytes(b"".join(part + google_crc32c.value(part).to_bytes(4, "little") for part in (*chunks, index)))
    layout = RaggedLayout(dim=2, dtype="float16", num_rows=32, chunk_rows=16, shard_rows=32)
    assert path.stat().st_size == 172
    shard = MappedShard(path, layout)
    pieces = shard.pieces(14, 18)
    assert [piece.tolist() for piece in pieces] == [[[28, 29], [30, 31]], [[32, 33], [34, 35]]]
    assert not any(piece.flags.writeable for piece in pieces)
    assert [len(piece) for piece in shard.pieces(0, 16)] == [16]
    rot(path, 68)
    assert len(MappedShard(path, layout).pieces(0, 16)) == 1, "the first chunk is whole"
    with pytest.raises(DamagedFeaturesError, match="chunk 1 does not match"):
        MappedShard(path, layout).pieces(15, 17)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
    st.sampled_from(["float16", "float32", "int8"]),
    st.floats(0, 3.0),
    st.floats(0.001, 2.0),
)
def test_rows_written_are_rows_read(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], dtype: StoreDtype, start: float, duration: float
) -> None:
    store = filled(tmp_path_factory.mktemp("store"), lengths, dtype)
    window = Segment(start, start + duration)
    for name in range(len(lengths)):
        whole, found = store.read(SPEC.identity, sha(name)), store.locate(SPEC.identity, sha(name))
        assert whole is not None
        assert found is not None
        assert found.duration_seconds == whole.duration_seconds
        for rows, track in ((found.track.main, whole.track.main), (found.track.fine, whole.track.fine)):
            assert (rows.dim, rows.grid) == (track.dim, track.grid)
            assert np.array_equal(written(rows), track.values.astype(np.float32))
            cut, wanted = rows.window(window), track.window(window)
            assert cut.grid == wanted.grid
            assert np.array_equal(written(cut), wanted.values.astype(np.float32))
            assert np.array_equal(written(cut.window(Segment(0.01, 9.0))), wanted.window(Segment(0.01, 9.0)).values)


def test_what_is_read_is_its_readers_own(tmp_path: Path) -> None:
    store = filled(tmp_path, [30])
    first = store.read(SPEC.identity, sha(0)).track.main.values
    kept = first.copy()
    first[...] = 0.0
    assert np.array_equal(store.read(SPEC.identity, sha(0)).track.main.values, kept)


def test_a_batch_from_the_files_is_the_batch_of_what_was_read(tmp_path: Path) -> None:
    visual = EncoderSpec(name="handcrafted-video", view=FrameView())
    stream = StreamSpec(encoder_identity=visual.identity, dim=6, hop_seconds=0.02)
    store = filled(tmp_path, lengths := [30, 75, 1])
    clips = [
        ClipEntry.encoded(sha(n), EncodedTrack(entry(n + 9, k).track.main), k * 0.02) for n, k in enumerate(lengths)
    ]
    store.commit(stream, visual, clips)
    source = StoredFeatures(store, SPEC, visual)
    videos = [
        VideoRecord(video_id=str(n), path=Path("x"), split="train", duration_seconds=None, media_sha256=sha(n))
        for n in range(3)
    ]
    dataset = ClipDataset(source, videos, window_seconds=9.0)
    dataset.expect([2, 0, 1])
    found = gather([dataset.item(n, np.random.default_rng(0)) for n in range(3)], source.streams)
    wanted = collate([read_item(source, video) for video in videos], source.streams)
    assert found.audio.values.equal(wanted.audio.values)
    assert found.audio.fine_values.equal(wanted.audio.fine_values)
    assert found.visual.values.equal(wanted.visual.values)
    assert found.visual.valid.equal(wanted.visual.valid)
    assert source.locate(videos[0], Modality.AUDIO) is not None
    assert StoredFeatures(store, SPEC, visual, hidden=["audio"]).locate(videos[0], Modality.AUDIO) is None


# ---- rot, repair, and packs that go


def test_a_checked_chunk_is_checked_again_when_its_file_changed(tmp_path: Path) -> None:
    store = filled(tmp_path, [40])
    rows = store.locate(SPEC.identity, sha(0)).track.main
    whole = written(rows)
    (path,) = shards_of(tmp_path)
    for position in (3, path.stat().st_size - 2):
        rot(path, position)
        with pytest.raises(DamagedFeaturesError, match="checksum; run the extraction again"):
            written(rows)
        with pytest.raises(DamagedFeaturesError, match="checksum"):
            store.read(SPEC.identity, sha(0))
        rot(path, position)
        assert np.array_equal(written(rows), whole)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DamagedFeaturesError, match=r"index|cut short"):
        written(rows)
    os.truncate(path, 0)
    with pytest.raises(DamagedFeaturesError, match="cut short"):
        written(rows)


def test_rows_located_before_a_repair_are_read_from_the_pack_made_anew(tmp_path: Path) -> None:
    store = filled(tmp_path, [40, 50])
    rows = [store.locate(SPEC.identity, sha(name)).track.main for name in range(2)]
    before = [written(one) for one in rows]
    rot(shards_of(tmp_path)[0], 3)
    other = FeatureStore(tmp_path)
    assert len(other.repair()) == 1
    with pytest.raises((KeyError, DamagedFeaturesError)):
        written(rows[0])
    filled(tmp_path, [40, 50])
    assert all(np.array_equal(written(one), values) for one, values in zip(rows, before, strict=True))
    shutil.rmtree(next(tmp_path.glob("v1/*/*.zarr")))
    FeatureStore(tmp_path).commit(STREAM, SPEC, [entry(0, 40), ClipEntry.failed(sha(1), kind="corrupt", reason="cut")])
    store = FeatureStore(tmp_path)
    assert np.array_equal(written(store.locate(SPEC.identity, sha(0)).track.main), before[0])
    with pytest.raises(ValueError, match="its extraction failed"):
        store.locate(SPEC.identity, sha(1))


def test_a_clip_that_became_shorter_meanwhile_is_told(tmp_path: Path) -> None:
    store = filled(tmp_path, [40])
    rows = store.locate(SPEC.identity, sha(0)).track.main
    shutil.rmtree(next(tmp_path.glob("v1/*/*.zarr")))
    filled(tmp_path, [39])
    with pytest.raises(DamagedFeaturesError, match="longer"):
        written(rows)


def test_a_removed_pack_that_is_open_can_be_read_to_the_end(tmp_path: Path) -> None:
    store = filled(tmp_path, [40, 50])
    rows = [store.locate(SPEC.identity, sha(name)).track.main for name in range(2)]
    first = written(rows[0])
    shutil.rmtree(next(tmp_path.glob("v1/*/*.zarr")))
    assert np.array_equal(written(rows[0]), first)
    assert np.array_equal(written(rows[1]), entry(1, 50).track.main.values.astype(np.float16).astype(np.float32))
    store.expect(SPEC.identity, [sha(0), sha(1), sha("never")])


# ---- many packs, many processes


@contextlib.contextmanager
def few_descriptors(more: int) -> Iterator[None]:
    """So many more than are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (top + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_many_packs_are_read_with_few_descriptors(tmp_path: Path) -> None:
    """12 packs of two arrays, 48 descriptors if all stayed open, with 9."""
    filled(tmp_path, [30] * 12, clips_per_pack=1)
    store = FeatureStore(tmp_path)
    store.packs(SPEC.identity)
    with few_descriptors(9):
        assert all(checked(store, name) for name in range(12))
        store.expect(SPEC.identity, [sha(name) for name in range(12)])
        assert all(checked(store, name) for name in range(12))


def test_where_the_address_space_ends_other_files_are_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path, [30] * 6, clips_per_pack=1)
    real, living = mmap.mmap, weakref.WeakSet()

    def at_most_three(*args: object, **kwargs: object) -> mmap.mmap:
        if len(living) >= 3:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        living.add(made := real(*args, **kwargs))
        return made

    monkeypatch.setattr("storage.mapped.mmap.mmap", at_most_three)
    assert all(checked(store, name) for name in (*range(6), *range(6)))


def test_maps_are_bounded(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, max_open_files=3)
    for name in range(8):
        store.commit(STREAM, SPEC, [entry(name, 30)])
    for name in range(8):
        store.read(SPEC.identity, sha(name))
    assert len(maps_below(tmp_path)) <= 3


def maps_below(root: Path) -> set[str]:
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if str(root) in line}


def test_a_map_ends_with_its_last_rows(tmp_path: Path) -> None:
    store = filled(tmp_path, [30])
    pack = store.packs(SPEC.identity)[0]
    shards = OpenShards()
    (piece,) = shards.pieces(pack.arrays["values"], pack.layouts["values"], 0, 30)
    shards.forget(tmp_path)
    assert len(maps_below(tmp_path)) == 1
    assert np.isfinite(piece).all()
    del piece
    assert not maps_below(tmp_path)


def checked(store: FeatureStore, name: int) -> bool:
    rows = store.locate(SPEC.identity, sha(name)).track.main
    return np.array_equal(written(rows), store.read(SPEC.identity, sha(name)).track.main.values.astype(np.float32))


@pytest.mark.slow
def test_a_spawned_worker_reads_the_same(tmp_path: Path) -> None:
    store = filled(tmp_path, [30, 40])
    assert checked(store, 0)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [pool.submit(store.read, SPEC.identity, sha(name)).result() for name in range(2)]
    for name, one in enumerate(found):
        assert np.array_equal(one.track.main.values, store.read(SPEC.identity, sha(name)).track.main.values)


def test_the_shards_of_a_pack_are_hinted_in_order(tmp_path: Path) -> None:
    """A hint changes nothing that can be read, of clips that are there, of those that are not, and of removed files."""
    store = filled(tmp_path, [200, 300, 100, 50])
    store.packs(SPEC.identity)
    store.expect(SPEC.identity, [sha(3), sha(0), sha("never")])
    for path in shards_of(tmp_path):
        path.unlink()
    FeatureStore(tmp_path).expect(SPEC.identity, [sha(0)])
    assert checked(store, 3)
