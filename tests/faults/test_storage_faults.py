"""Damage, races, kills and full disks: readers see everything or nothing, and the store says what it lost."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.clips import ClipEntry
from storage.errors import DamagedFeaturesError
from storage.feature_store import FeatureStore
from storage.keys import pack_folder
from storage.staging import staging_folder, sweep

SPEC = EncoderSpec(name="handcrafted-audio")
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=16, hop_seconds=0.02, fine_dim=2, fine_hop_seconds=0.005)


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def entry(name: int, num_cells: int = 40) -> ClipEntry:
    rng = np.random.default_rng(name)
    main = FeatureTrack(rng.standard_normal((num_cells, 16)).astype(np.float16), TimeGrid(0.02, num_cells))
    fine = FeatureTrack(rng.standard_normal((num_cells * 4, 2)).astype(np.float16), TimeGrid(0.005, num_cells * 4))
    return ClipEntry.encoded(sha(name), EncodedTrack(main, fine), num_cells * 0.02)


def commit(root: Path, first: int, last: int, num_cells: int = 40) -> str:
    return FeatureStore(root).commit(STREAM, SPEC, (entry(i, num_cells) for i in range(first, last)))


def reads_back(root: Path, first: int, last: int, num_cells: int = 40) -> bool:
    store = FeatureStore(root)
    found = [store.read(SPEC.identity, sha(i)).track.main.values for i in range(first, last)]
    return all(np.array_equal(v, entry(i, num_cells).track.main.values) for i, v in enumerate(found, first))


def pack_files(root: Path, digest: str) -> list[Path]:
    return sorted(path for path in pack_folder(root, SPEC.identity, digest).rglob("*") if path.is_file())


def flip(path: Path, position: int, bit: int = 0) -> None:
    """Flip one bit and keep the file's times, as rot does."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


# ---- damage


def test_verify_finds_a_flipped_bit_anywhere(tmp_path: Path) -> None:
    digest = commit(tmp_path, 0, 3)
    commit(tmp_path, 3, 6)
    store, rng = FeatureStore(tmp_path), np.random.default_rng(0)
    assert store.verify().is_sound
    files = pack_files(tmp_path, digest)
    assert len(files) >= 8
    for path in files:
        size = path.stat().st_size
        for position in {0, size - 1, *rng.integers(0, size, 6).tolist()}:
            bit = int(rng.integers(8))
            flip(path, position, bit)
            assert [pack.digest for pack in store.verify().damaged] == [digest], f"{path.name} byte {position}"
            flip(path, position, bit)
    assert store.verify().is_sound


def test_verify_finds_missing_extra_and_truncated_files(tmp_path: Path) -> None:
    digest = commit(tmp_path, 0, 3)
    store = FeatureStore(tmp_path)
    folder = pack_folder(tmp_path, SPEC.identity, digest)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    for path in pack_files(tmp_path, digest):
        for harm in (Path.unlink, lambda p: os.truncate(p, p.stat().st_size - 1), lambda p: p.write_bytes(b"")):
            harm(path)
            assert len(store.verify().damaged) == 1
            shutil.rmtree(folder)
            shutil.copytree(whole, folder)
    (folder / "values" / "extra").write_bytes(b"")
    assert "does not belong" in store.verify().damaged[0].problems[0]
    shutil.rmtree(folder)
    shutil.copytree(whole, folder.with_name("0" * 64 + ".zarr"))
    assert "name" in store.verify().damaged[0].problems[0]


@pytest.mark.parametrize("keep_times", [False, True])
def test_repair_drops_exactly_the_damaged_pack_and_extraction_rebuilds_it(tmp_path: Path, keep_times: bool) -> None:
    packs = [commit(tmp_path, first, first + 3) for first in (0, 3, 6)]
    shard = pack_folder(tmp_path, SPEC.identity, packs[1]) / "values" / "c" / "0" / "0"
    if keep_times:
        flip(shard, 100)
    else:
        with shard.open("r+b") as file:
            file.write(b"\xff\xff")
    store, names = FeatureStore(tmp_path), [sha(i) for i in range(9)]
    assert [pack.digest for pack in store.repair()] == [packs[1]]
    assert store.missing(SPEC.identity, names) == names[3:6]
    assert commit(tmp_path, 3, 6) == packs[1]
    assert store.complete(SPEC.identity, names)
    assert reads_back(tmp_path, 0, 9)
    assert store.repair() == ()


def test_missing_notices_ordinary_damage_without_reading_and_a_commit_mends_it(tmp_path: Path) -> None:
    packs = [commit(tmp_path, first, first + 3) for first in (0, 3)]
    store, names = FeatureStore(tmp_path), [sha(i) for i in range(6)]
    assert store.complete(SPEC.identity, names)
    for damage in ("write", "delete", "metadata"):
        folder = pack_folder(tmp_path, SPEC.identity, packs[0])
        if damage == "delete":
            (folder / "values" / "c" / "0" / "0").unlink()
        else:
            target = folder / ("zarr.json" if damage == "metadata" else "values/c/0/0")
            data = bytearray(target.read_bytes())
            data[50] ^= 1
            target.write_bytes(data)
        assert store.missing(SPEC.identity, names) == names[:3], damage
        assert FeatureStore(tmp_path).missing(SPEC.identity, names) == names[:3], damage
        with pytest.raises(KeyError):
            store.read(SPEC.identity, names[0])
        assert commit(tmp_path, 0, 3) == packs[0]
        assert store.complete(SPEC.identity, names)
        assert reads_back(tmp_path, 0, 6)


def test_a_copied_store_is_believed_after_one_look(tmp_path: Path) -> None:
    digest = commit(tmp_path / "a", 0, 3)
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    store = FeatureStore(tmp_path / "b")
    assert store.complete(SPEC.identity, [sha(0)])
    times = [path.stat().st_mtime for path in pack_files(tmp_path / "b", digest)]
    assert times == [path.stat().st_mtime for path in pack_files(tmp_path / "a", digest)]


def test_a_read_notices_rot_and_names_the_way_out(tmp_path: Path) -> None:
    digest = commit(tmp_path, 0, 3)
    store = FeatureStore(tmp_path)
    store.read(SPEC.identity, sha(0))
    shard = pack_folder(tmp_path, SPEC.identity, digest) / "values" / "c" / "0" / "0"
    for position in (64, shard.stat().st_size - 8):  # in a chunk, and in the shard's index
        flip(shard, position)
        for opened in (store, FeatureStore(tmp_path)) if position == 64 else (FeatureStore(tmp_path),):
            with pytest.raises(DamagedFeaturesError, match=r"checksum; run the extraction again"):
                opened.read(SPEC.identity, sha(0))
        flip(shard, position)
    assert reads_back(tmp_path, 0, 3)
    shard.unlink()
    with pytest.raises(DamagedFeaturesError, match="is missing"):
        FeatureStore(tmp_path).read(SPEC.identity, sha(0))


def test_a_reader_survives_repair_and_rebuild_under_its_feet(tmp_path: Path) -> None:
    digest = commit(tmp_path, 0, 3)
    reader = FeatureStore(tmp_path)
    reader.read(SPEC.identity, sha(0))
    flip(pack_folder(tmp_path, SPEC.identity, digest) / "values" / "c" / "0" / "0", 64)
    FeatureStore(tmp_path).repair()
    with pytest.raises((KeyError, DamagedFeaturesError)):
        reader.read(SPEC.identity, sha(0))
    commit(tmp_path, 0, 3)
    assert np.array_equal(reader.read(SPEC.identity, sha(0)).track.main.values, entry(0).track.main.values)


# ---- several writers


def child(code: str, *args: object) -> subprocess.Popen[bytes]:
    """Another process that runs the code with this module as `t` and its arguments as `args`."""
    head = f"import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_storage_faults as t\n"
    head += "from pathlib import Path; root, *args = Path(sys.argv[1]), *sys.argv[2:]\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, args)])


def test_writers_of_one_pack_end_with_one_valid_copy(tmp_path: Path) -> None:
    at_once = "store = t.FeatureStore(root / 's'); (root / args[0]).touch()\n"
    at_once += "while not (root / 'go').exists(): pass\n"
    at_once += "t.commit(root / 's', 0, 5)\n"
    writers = [child(at_once, tmp_path, f"ready{i}") for i in range(3)]
    while len(list(tmp_path.glob("ready*"))) < len(writers):
        assert all(writer.poll() is None for writer in writers)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    root = tmp_path / "s"
    assert len(FeatureStore(root).packs(SPEC.identity)) == 1
    assert FeatureStore(root).verify().is_sound
    assert list((root / ".staging").iterdir()) == []
    assert reads_back(root, 0, 5)


def test_a_forked_reader_reads_after_its_parent_wrote_and_read(tmp_path: Path) -> None:
    code = """
t.commit(root, 0, 4)
store = t.FeatureStore(root)
store.read(t.SPEC.identity, t.sha(0))
forked = os.fork()
if forked == 0:
    same = all((store.read(t.SPEC.identity, t.sha(i)).track.main.values == t.entry(i).track.main.values).all()
               for i in range(4))
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
"""
    assert child(code, tmp_path).wait(60) == 0


# ---- kills and full disks


def test_a_killed_writer_leaves_whole_packs_only(tmp_path: Path) -> None:
    forever = "root.mkdir()\nfor first in range(0, 10_000, 4): t.commit(root, first, first + 4, num_cells=400)\n"
    rng = np.random.default_rng(0)
    for attempt in range(5):
        root = tmp_path / str(attempt)
        writer = child(forever, root)
        while not root.exists():
            assert writer.poll() is None
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0.0, 0.2)))
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(30) == -signal.SIGKILL
        store = FeatureStore(root)
        report = store.verify()
        assert report.is_sound
        assert report.num_clips == 4 * report.num_packs
        assert reads_back(root, 0, report.num_clips, num_cells=400)
        assert not list((root / ".staging").glob("*"))


def test_a_kill_at_each_step_of_a_commit_is_invisible(tmp_path: Path) -> None:
    """The process kills itself at its n-th fsync, rename or setting of a time, for n up to the end of the commit."""
    code = """
steps = int(args[0])
def counted(inner):
    def call(*args, **kwargs):
        global steps
        steps -= 1
        if steps < 0:
            os.kill(os.getpid(), 9)
        return inner(*args, **kwargs)
    return call
for name in ("fsync", "rename", "utime"):
    setattr(os, name, counted(getattr(os, name)))
t.commit(root, 0, 2)
"""
    commit(tmp_path, 5, 7)
    names, outcomes = [sha(i) for i in (0, 1, 5, 6)], []
    for step in (0, 5, 10, 15, 20, 24, 27, 30, 33, 99):
        returned = child(code, tmp_path, step).wait(60)
        missing = FeatureStore(tmp_path).missing(SPEC.identity, names)
        assert missing in (names[:2], []), "a pack is there whole or not at all"
        outcomes.append((returned, not missing))
        assert FeatureStore(tmp_path).verify().is_sound
        assert not list((tmp_path / ".staging").iterdir())
    assert outcomes[0] == (-signal.SIGKILL, False)
    assert outcomes[-1] == (0, True)
    assert sum(not stored for _, stored in outcomes) >= 3
    assert reads_back(tmp_path, 0, 2)


def test_a_staging_folder_in_use_is_not_swept(tmp_path: Path) -> None:
    with staging_folder(tmp_path) as used:
        (tmp_path / "fresh").mkdir()  # made a moment ago, not locked yet
        assert sweep(tmp_path) == 0
        assert used.is_dir()
        old = tmp_path / "old"
        old.mkdir()
        os.utime(old, (0, 0))
        assert sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["fresh"]


def _assert_full_store_is_sound(root: Path) -> None:
    store = FeatureStore(root)
    assert store.verify().is_sound
    assert not list((root / ".staging").iterdir())
    assert store.complete(SPEC.identity, [sha(0), sha(1)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=False, capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no mounts here: {mounted.stderr.strip()}")
    try:
        commit(tmp_path, 0, 2)
        with pytest.raises(OSError, match=r"no room for features .* nothing was changed"):
            commit(tmp_path, 2, 400, num_cells=200)
        _assert_full_store_is_sound(tmp_path)
        commit(tmp_path, 2, 4)
        assert reads_back(tmp_path, 0, 4)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_file_size_limit_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    commit(tmp_path, 0, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OSError, match="no room for features"):
            commit(tmp_path, 2, 40, num_cells=400)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    _assert_full_store_is_sound(tmp_path)
