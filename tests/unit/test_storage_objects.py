"""The feature store in object storage, against a real S3-compatible server: a pack is there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from loopback import free_port
from zarr.storage import ObjectStore

from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from storage.clips import ClipEntry
from storage.errors import DamagedFeaturesError
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.keys import identity_folder, pack_folder
from storage.objects import ObjectPath, is_below, place_of
from storage.places import CONTENT_PREFIX, content_of, publish, stamps, withdraw

pytestmark = pytest.mark.xdist_group("s3")

SPEC = EncoderSpec(name="handcrafted-audio")
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=16, hop_seconds=0.02, fine_dim=2, fine_hop_seconds=0.005)
WAIT_SECONDS = 120


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that finds moto's server, in a process of its own, with the bucket `features`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path_factory.mktemp("s3") / "moto.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + WAIT_SECONDS
        while not _answers(f"{url}/features"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
        yield keys | {"AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}
    finally:
        process.kill()
        process.wait(30)


@pytest.fixture
def root(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectPath:
    """An empty prefix."""
    for name, text in s3.items():
        monkeypatch.setenv(name, text)
    return ObjectPath(f"s3://features/{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}/v")


def sha(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def entry(name: int, num_cells: int = 40) -> ClipEntry:
    rng = np.random.default_rng(name)
    main = FeatureTrack(rng.standard_normal((num_cells, 16)).astype(np.float16), TimeGrid(0.02, num_cells))
    fine = FeatureTrack(rng.standard_normal((num_cells * 4, 2)).astype(np.float16), TimeGrid(0.005, num_cells * 4))
    return ClipEntry.encoded(sha(name), EncodedTrack(main, fine), num_cells * 0.02)


def commit(root: ObjectPath, first: int, last: int) -> str:
    return FeatureStore(root).commit(STREAM, SPEC, (entry(number) for number in range(first, last)))


def reads_back(root: ObjectPath, first: int, last: int) -> bool:
    store = FeatureStore(root)
    found = [store.read(SPEC.identity, sha(number)).track for number in range(first, last)]
    wanted = [entry(number).track for number in range(first, last)]
    return all(
        np.array_equal(mine.main.values, theirs.main.values) and np.array_equal(mine.fine.values, theirs.fine.values)
        for mine, theirs in zip(found, wanted, strict=True)
    )


def test_a_store_on_s3_does_what_one_on_disk_does(root: ObjectPath) -> None:
    store, names = FeatureStore(str(root)), [sha(number) for number in range(6)]
    assert store.identities() == []
    assert store.missing(SPEC.identity, names) == names
    digests = [commit(root, 0, 3), commit(root, 3, 6)]
    assert store.complete(SPEC.identity, names)
    assert store.identities() == [SPEC.identity]
    assert [pack.digest for pack in store.packs(SPEC.identity)] == sorted(digests)
    assert reads_back(root, 0, 6)
    window = store.read(SPEC.identity, sha(4), Segment(0.2, 0.5))
    assert np.array_equal(window.track.main.values, entry(4).track.main.values[10:25])
    assert store.records(SPEC.identity, names)[sha(5)].num_cells == 40
    report = store.verify()
    assert (report.num_packs, report.num_clips, report.is_sound) == (2, 6, True)
    again = pickle.loads(pickle.dumps(store))
    assert again.root == root
    assert again.complete(SPEC.identity, names)


def test_a_pack_is_a_zarr_group_in_the_bucket(root: ObjectPath) -> None:
    from obstore.store import from_url  # noqa: PLC0415 - optional

    content = content_of(pack_folder(root, SPEC.identity, commit(root, 0, 2)))
    group = zarr.open_group(ObjectStore(from_url(str(content)), read_only=True), mode="r")
    values = np.asarray(group["values"])
    assert np.array_equal(values[:40], entry(0).track.main.values)
    assert group.attrs["encoder_identity"] == SPEC.identity


def test_without_the_marker_nothing_is_there(root: ObjectPath, tmp_path: Path) -> None:
    """A writer that dies before its last request leaves objects that no reader looks at."""
    digest = commit(root, 0, 3)
    marker = pack_folder(root, SPEC.identity, digest)
    where = marker.read_bytes()
    withdraw_marker_only(marker)
    store, names = FeatureStore(root), [sha(number) for number in range(3)]
    assert content_sizes(root), "the files are all there"
    assert store.missing(SPEC.identity, names) == names
    assert store.packs(SPEC.identity) == []
    assert commit(root, 0, 3) == digest
    assert marker.read_bytes() != where
    assert reads_back(root, 0, 3)


def withdraw_marker_only(marker: ObjectPath) -> None:
    with marker._reached() as (bucket, key):
        import obstore  # noqa: PLC0415 - optional

        obstore.delete(bucket, key)


def content_sizes(root: ObjectPath) -> dict[str, int]:
    return (root / CONTENT_PREFIX).sizes()


def test_of_two_writers_one_pack_stays(root: ObjectPath) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda _: commit(root, 0, 3), range(4)))) == 1
    assert len(FeatureStore(root).packs(SPEC.identity)) == 1
    assert len({name.split("/")[1] for name in content_sizes(root)}) == 1, "the losers cleaned up after themselves"
    assert FeatureStore(root).verify().is_sound
    assert reads_back(root, 0, 3)


def test_a_failed_upload_leaves_no_pack(root: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(root, 0, 2)
    before = content_sizes(root)
    real, count = ObjectPath.write, iter(range(100))

    def failing(place: ObjectPath, content: bytes | Path) -> None:
        if next(count) == 4:
            raise OSError(5, "the connection is gone")
        real(place, content)

    monkeypatch.setattr(ObjectPath, "write", failing)
    with pytest.raises(OSError, match="connection is gone"):
        commit(root, 2, 4)
    monkeypatch.undo()
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert content_sizes(root) == before


@pytest.mark.slow
def test_damage_is_found_and_mended(root: ObjectPath) -> None:
    digests = [commit(root, 0, 3), commit(root, 3, 6)]
    contents = [content_of(pack_folder(root, SPEC.identity, digest)) for digest in digests]
    shard = contents[0] / "values" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write(bytes(data))
    with pytest.raises(DamagedFeaturesError, match="does not match its checksum"):
        FeatureStore(root).read(SPEC.identity, sha(0))
    (contents[1] / "offsets" / "zarr.json").delete()
    store, names = FeatureStore(root), [sha(number) for number in range(6)]
    assert store.missing(SPEC.identity, names) == names[3:], "a look at sizes finds what is missing"
    assert {pack.digest for pack in store.verify().damaged} == set(digests)
    assert {pack.digest for pack in store.repair()} == set(digests)
    assert content_sizes(root) == {}
    assert [commit(root, 0, 3), commit(root, 3, 6)] == digests
    assert reads_back(root, 0, 6)


@pytest.mark.slow
def test_a_damaged_pack_is_replaced_by_the_next_commit(root: ObjectPath) -> None:
    digest = commit(root, 0, 3)
    (content_of(pack_folder(root, SPEC.identity, digest)) / "values" / "zarr.json").delete()
    assert commit(root, 0, 3) == digest
    assert FeatureStore(root).verify().is_sound
    pack_folder(root, SPEC.identity, digest).write(b"packs/../../elsewhere")
    assert FeatureStore(root).missing(SPEC.identity, [sha(0)]) == [sha(0)]
    assert commit(root, 0, 3) == digest
    assert reads_back(root, 0, 3)


def test_publishing_and_withdrawing_by_hand(root: ObjectPath, tmp_path: Path) -> None:
    pack = pack_folder(root, SPEC.identity, sha("pack"))
    (tmp_path / "pack" / "values").mkdir(parents=True)
    (tmp_path / "pack" / "zarr.json").write_text("{}")
    (tmp_path / "pack" / "values" / "0").write_bytes(b"12345")
    assert publish(tmp_path / "pack", pack)
    assert not publish(tmp_path / "pack", pack), "the name is taken"
    assert content_of(pack).sizes() == {"zarr.json": 2, "values/0": 5}
    assert list(stamps(identity_folder(root, SPEC.identity))) == [pack.name]
    withdraw(pack, tmp_path)
    withdraw(pack, tmp_path)
    assert content_sizes(root) == {}
    assert stamps(identity_folder(root, SPEC.identity)) == {}


def test_objects_by_hand(root: ObjectPath) -> None:
    place = root / "one"
    assert place.create(b"0123456789")
    assert not place.create(b"other")
    assert place.read_bytes() == b"0123456789"
    assert place.read_range(2, 3) == b"234"
    assert place.size() == 10
    assert place.sha256() == hashlib.sha256(b"0123456789").hexdigest()
    assert (place.name, place.parent, (root / "a.zarr").stem) == ("one", root, "a")
    assert is_below(place, root)
    assert not is_below(root / "onemore", place)
    assert not is_below(Path("/a"), root)
    place.delete()
    for read in (place.read_bytes, place.size, lambda: place.read_range(0, 1)):
        with pytest.raises(FileNotFoundError, match="no such object"):
            read()


def test_a_bucket_that_is_not_there_is_named(root: ObjectPath) -> None:
    with pytest.raises(OSError, match="s3://nowhere/a"):
        ObjectPath("s3://nowhere/a").create(b"")


@pytest.mark.parametrize("text", ["http://host/a", "s3:///a", "ftp://a/b"])
def test_a_url_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        place_of(text)


def test_the_environment_says_where_features_are(tmp_path: Path) -> None:
    assert Home.current({"IAMSB_HOME": str(tmp_path)}).feature_place == tmp_path / "features"
    there = Home.current({"IAMSB_HOME": str(tmp_path), "IAMSB_FEATURES": "s3://bucket/prefix/"})
    assert there.feature_place == ObjectPath("s3://bucket/prefix")
    assert plain(there)["features_at"] == "s3://bucket/prefix"
    elsewhere = Home.current({"IAMSB_HOME": str(tmp_path), "IAMSB_FEATURES": str(tmp_path / "other")})
    assert elsewhere.feature_place == tmp_path / "other"
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        Home.current({"IAMSB_FEATURES": "http://bucket/prefix"})


@pytest.mark.slow
def test_extraction_and_training_from_the_command_line(s3: dict[str, str], tmp_path: Path) -> None:
    """The same model as from features on the disk."""
    from tiny_work import forge_tiny  # noqa: PLC0415 - imports much, for this one alone

    forge_tiny(tmp_path / "data", num_clips=(6, 2, 1))
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("PREFECT_", "IAMSB_"))}
    places = {"there": {"IAMSB_FEATURES": "s3://features/command"}, "here": {}}
    found = {}
    for name, where in places.items():
        environment = kept | s3 | where | {"IAMSB_HOME": str(tmp_path / name), "OMP_NUM_THREADS": "1"}
        first = [["extract"], ["extract"]] if where else []
        for command in (*first, ["train", "--epochs", "1"]):
            words = [command[0], "lavdf", str(tmp_path / "data"), *command[1:], "--json"]
            done = subprocess.run(
                [sys.executable, "-m", "flows.cli", *words], env=environment, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr.decode()[-3000:]
            found[name, command[0]] = json.loads(done.stdout)
    assert found["there", "train"]["metrics"] == found["here", "train"]["metrics"]
    assert not (tmp_path / "there" / "features").exists()
    assert found["there", "extract"]["num_decoded"] == 0, "the second time finds everything"
    assert found["there", "extract"]["store"] == "s3://features/command"
