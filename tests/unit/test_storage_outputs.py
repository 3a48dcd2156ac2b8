"""Predictions, exports, references and the home folder: what leaves the store can be read by others."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.localization.proposals import ClipProposals, sorted_proposals
from iamsb_core.manifest import Manifest, VideoRecord, VideoShard
from iamsb_core.media.clip import FrameView
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.clips import ClipEntry
from storage.export import export_features
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.prediction_store import PredictionStore, StoredPredictions, from_json, read_predictions, to_json
from storage.refs import FeatureShardRef, ManifestRef, feature_shard_ref

EMPTY = np.zeros((0, 3), np.float32)


def clip(name: str, fused: np.ndarray, **evidence: object) -> ClipProposals:
    return ClipProposals(
        video_id=name,
        duration_seconds=4.2,
        audio=EMPTY,
        visual=EMPTY,
        fused=sorted_proposals(fused),
        clip_score=0.75,
        evidence=evidence,
    )


def test_predictions_by_hand() -> None:
    fused = np.array([[1.0, 2.5, 0.1], [0.2, 0.4, 0.9]])
    stored = StoredPredictions("models:/iamsb/1", "lavdf", "test", {"a.mp4": clip("a.mp4", fused, budget=0.5)})
    row = json.loads(to_json(stored))["predictions"]["a.mp4"]
    assert row["fused"] == [[0.9, 0.2, 0.4], [0.1, 1.0, 2.5]]  # score, start, end, by falling score
    assert row["audio"] == []
    assert (row["clip_score"], row["duration_seconds"], row["evidence"]) == (0.75, 4.2, {"budget": 0.5})


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 8), st.just(3)), elements=st.floats(0, 1e4, width=32)),
    st.booleans(),
)
def test_predictions_round_trip(tmp_path_factory: pytest.TempPathFactory, fused: np.ndarray, compress: bool) -> None:
    store = PredictionStore(tmp_path_factory.mktemp("p"))
    ref = store.write({"v": clip("v", fused)}, model="m", dataset="d", compress=compress)
    read = store.read(ref)
    assert np.array_equal(read.predictions["v"].fused, sorted_proposals(fused))
    assert read.predictions["v"].fused.dtype == np.float32
    assert (read.model, read.dataset, ref.num_videos) == ("m", "d", 1)
    assert hashlib.sha256(to_json(read).encode()).hexdigest() == ref.sha256
    assert read_predictions(Path(ref.path)).model == "m"


def test_predictions_that_are_none_are_explained(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path)
    ref = store.write({"v": clip("v", EMPTY)}, model="m", dataset="d")
    assert store.write({"v": clip("v", EMPTY)}, model="m", dataset="d") == ref
    Path(ref.path).write_text(Path(ref.path).read_text().replace("0.75", "0.76"))
    with pytest.raises(ValueError, match="was changed after it was written"):
        store.read(ref)
    with pytest.raises(ValueError, match="cannot read predictions from"):
        read_predictions(tmp_path / "gone.json")
    for text in (b"{}", b"[]", b"junk", b'{"format": "other"}'):
        with pytest.raises(ValueError, match=r"f\.json does not hold predictions"):
            from_json(text, "f.json")


AUDIO = EncoderSpec(name="handcrafted-audio")
VISUAL = EncoderSpec(name="handcrafted-video", view=FrameView())


def video(name: str) -> VideoRecord:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return VideoRecord(video_id=name, path=Path(name), split="train", duration_seconds=None, media_sha256=sha256)


def filled(root: Path, names: list[str]) -> FeatureStore:
    store = FeatureStore(root)
    for spec, hop_seconds, fine_dim in ((AUDIO, 0.02, 2), (VISUAL, 0.04, 0)):
        stream = StreamSpec(
            encoder_identity=spec.identity,
            dim=3,
            hop_seconds=hop_seconds,
            fine_dim=fine_dim,
            fine_hop_seconds=0.005 if fine_dim else 0.0,
        )
        entries = []
        for name in names:
            main, fine = TimeGrid.covering(1.0, hop_seconds), TimeGrid.covering(1.0, 0.005)
            track = EncodedTrack(
                FeatureTrack(np.full((main.num_cells, 3), 0.5, np.float32), main),
                FeatureTrack(np.full((fine.num_cells, 2), 0.25, np.float32), fine) if fine_dim else None,
            )
            sha256 = str(video(name).media_sha256)
            is_absent = name.startswith("silent") and spec is AUDIO
            entries.append(ClipEntry.absent(sha256, 1.0) if is_absent else ClipEntry.encoded(sha256, track, 1.0))
        store.commit(stream, spec, entries)
    return store


def test_export_writes_arrays_with_their_clock(tmp_path: Path) -> None:
    names = ["test/a.mp4", "test/a.avi", "../b.mp4", "silent.mp4"]
    store = filled(tmp_path / "store", names)
    out = tmp_path / "out"
    report = export_features(store, (AUDIO, VISUAL), [video(n) for n in [*names, "never.mp4"]], out)
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*.npy"))
    assert written == [
        "b.audio.fine.npy",
        "b.audio.npy",
        "b.visual.npy",
        "silent.visual.npy",
        "test/a.avi.audio.fine.npy",
        "test/a.avi.audio.npy",
        "test/a.avi.visual.npy",
        "test/a.mp4.audio.fine.npy",
        "test/a.mp4.audio.npy",
        "test/a.mp4.visual.npy",
    ]
    assert report.num_files == len(written)
    assert set(report.skipped) == {"silent.mp4 (audio)", "never.mp4 (audio)", "never.mp4 (visual)"}
    clock = json.loads((out / "b.audio.json").read_text())
    array = np.load(out / clock["array"])
    assert array.shape == (clock["num_cells"], clock["dim"]) == (50, 3)
    assert array.dtype == np.float16
    assert (clock["hop_seconds"], clock["duration_seconds"], clock["video_id"]) == (0.02, 1.0, "../b.mp4")
    assert clock["media_sha256"] == video("../b.mp4").media_sha256
    assert clock["encoder"]["name"] == "handcrafted-audio"
    assert json.loads((out / "b.audio.fine.json").read_text())["hop_seconds"] == 0.005


def test_a_shard_reference_changes_with_its_content_only(tmp_path: Path) -> None:
    names = ["a.mp4", "silent.mp4"]
    shard = VideoShard(tmp_path, tuple(video(name) for name in names))
    refs = [
        feature_shard_ref(filled(tmp_path / root, order), AUDIO.identity, VISUAL.identity, shard)
        for root, order in (("one", names), ("two", names[::-1]))
    ]
    assert refs[0] == refs[1]
    assert refs[0].digest == refs[1].digest
    assert (refs[0].audio.ok, refs[0].audio.absent, refs[0].visual.ok, refs[0].visual.failed) == (1, 1, 2, 0)
    assert parse(FeatureShardRef, json.loads(json.dumps(plain(refs[0])))) == refs[0]
    more = VideoShard(tmp_path, (*shard.videos, video("never.mp4")))
    with pytest.raises(KeyError, match="has no features"):
        feature_shard_ref(FeatureStore(tmp_path / "one"), AUDIO.identity, VISUAL.identity, more)


def test_a_manifest_reference_does_not_depend_on_where_it_lies() -> None:
    manifest = Manifest("m", Path("/a"), (video("a"), video("b")))
    moved = replace(manifest, root=Path("/b"))
    assert ManifestRef.of(manifest).sha256 == ManifestRef.of(moved).sha256
    assert ManifestRef.of(manifest).sha256 != ManifestRef.of(replace(manifest, videos=manifest.videos[:1])).sha256


def test_home_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.current({})
    assert home.root == tmp_path / ".iamsb"
    assert home.tracking_uri({}) == f"sqlite:///{tmp_path}/.iamsb/mlflow.db"
    assert home.tracking_uri({"MLFLOW_TRACKING_URI": "http://there"}) == "http://there"
    assert Home.current({"IAMSB_HOME": "elsewhere"}).features == tmp_path / "elsewhere" / "features"
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not a folder; set IAMSB_HOME"):
        Home.current({"IAMSB_HOME": "file"})
