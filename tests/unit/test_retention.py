"""What may go from a home, and what never does."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.cli import main
from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack, EncoderSpec, StreamSpec
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.media.perturbations.spec import PerturbationSpec
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.registry import log_model, register_model
from storage.retention import KINDS, delete, find_garbage
from storage.staging import exclusive_now, staging_folder
from storage.tracking import start_run

AUDIO, VISUAL = encoder_specs("handcrafted")
OLD = replace(AUDIO, version=AUDIO.version + 100)
"""of another release; nothing here makes it"""
OTHER = replace(VISUAL, lips=1)
PERTURBED = AUDIO.perturbed((PerturbationSpec(kind="sound-noise", level=2),))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home(tmp_path / "home")


def stored(home: Home, spec: EncoderSpec) -> Path:
    """One clip of two cells of that encoder; the folder of the encoder's packs."""
    stream = StreamSpec(encoder_identity=spec.identity, dim=2, hop_seconds=0.5)
    track = EncodedTrack(FeatureTrack(np.ones((2, 2), np.float32), TimeGrid(0.5, 2)))
    FeatureStore(home.features).commit(stream, spec, [ClipEntry.encoded("a" * 64, track, 1.0)])
    return home.features / "v1" / spec.identity


def aged(path: Path, days: float = 40.0) -> Path:
    """The tree as if nobody had touched it for so long."""
    then = time.time() - days * 24 * 3600
    for one in (path, *path.rglob("*")):
        os.utime(one, (then, then))
    return path


def training(home: Home, name: str, *, done: bool) -> Path:
    folder = home.runs / name
    (folder / "checkpoints" / "step-00000004").mkdir(parents=True)
    (folder / "checkpoints" / "step-00000004" / "state.safetensors").write_bytes(b"x" * 1000)
    (folder / "run.json").write_text("{}")
    if done:
        (folder / "outcome.json").write_text("{}")
    return folder


def found(home: Home, **options: object) -> dict[str, set[Path]]:
    kinds: dict[str, set[Path]] = {}
    for one in find_garbage(home, **{"kinds": KINDS, **options}).garbage:
        kinds.setdefault(one.kind, set()).add(one.path)
    return kinds


@pytest.fixture
def full(home: Home, untrained_model: Path) -> Home:
    """A home with something of every kind, all of it old."""
    shutil.copytree(untrained_model, home.runs / "done" / "model")
    for spec in (AUDIO, VISUAL, OLD, OTHER, PERTURBED):
        aged(stored(home, spec))
    aged(training(home, "done", done=True))
    aged(training(home, "stopped", done=False))
    (home.work / "models" / "iamsb-1").mkdir(parents=True)
    (home.work / "models" / "iamsb-1" / "card.json").write_text("{}")
    aged(home.work / "models")
    (home.root / ".staging" / "tmpdead").mkdir(parents=True)
    (home.root / ".staging" / "tmpdead" / "owner.lock").touch()
    for keep in (home.reports / "one" / "report.html", home.predictions / "p.json", home.desk / "media" / "m.mp4"):
        keep.parent.mkdir(parents=True)
        keep.write_text("kept")
        aged(keep.parent)
    return home


def test_everything_old_is_found_by_kind_and_what_is_needed_is_not(full: Home):
    packs = full.features / "v1"
    assert found(full) == {
        "staging": {full.root / ".staging" / "tmpdead"},
        "checkpoints": {full.runs / "done" / "checkpoints"},
        "runs": {full.runs / "stopped"},
        "dead-features": {packs / OLD.identity},
        "perturbed-features": {packs / PERTURBED.identity},
        "unused-features": {packs / OTHER.identity},
        "scratch": {full.work / "models" / "iamsb-1"},
    }
    assert set(found(full, days=50)) == {"staging"}, "all else is younger than that"
    sizes = {one.kind: one.num_bytes for one in find_garbage(full).garbage}
    assert sizes["checkpoints"] == 1000
    assert sizes["dead-features"] == sum(f.stat().st_size for f in (packs / OLD.identity).rglob("*") if f.is_file())


def test_without_apply_nothing_changes_and_with_it_only_that_goes(full: Home, capfd: pytest.CaptureFixture[str]):
    before = {path for path in full.root.rglob("*") if path.is_file()}
    assert main(["gc", "--json"]) == 0
    listed = json.loads(capfd.readouterr().out)
    assert not listed["applied"]
    assert listed["deleted"] == []
    assert {path for path in full.root.rglob("*") if path.is_file()} == before
    assert main(["gc", "--apply", "--json"]) == 0
    done = json.loads(capfd.readouterr().out)
    assert sorted(done["deleted"]) == sorted(one["path"] for one in listed["garbage"])
    assert done["num_bytes_deleted"] == listed["num_bytes"] > 0
    after = {path for path in full.root.rglob("*") if path.is_file()}
    gone = {path for path in before - after if not path.name.startswith("retrain.lock")}
    assert all(any(str(path).startswith(top) for top in done["deleted"]) for path in gone)
    assert (full.reports / "one" / "report.html").read_text() == "kept"
    assert (full.runs / "done" / "outcome.json").is_file()
    store = FeatureStore(full.features)
    for spec in (AUDIO, VISUAL, OTHER):
        assert store.read(spec.identity, "a" * 64) is not None
    assert main(["gc"]) == 0
    assert "nothing to let go of" in capfd.readouterr().out


def test_what_is_in_use_stays(full: Home):
    listed = [one for one in find_garbage(full).garbage if one.kind in ("checkpoints", "runs", "dead-features")]
    with (
        exclusive_now(full.runs / "done" / "lock", "a training"),
        exclusive_now(full.runs / "stopped" / "lock", "a training"),
        exclusive_now(full.root / "retrain.lock", "a nightly"),
    ):
        assert delete(full, listed) == []
    with staging_folder(full.features / ".staging"):
        report = find_garbage(full)
        assert not any("features" in one.kind for one in report.garbage)
        assert report.left == ("features: an extraction is at work; try again when it has ended",)
        assert delete(full, [one for one in listed if one.kind == "dead-features"]) == []
    assert [one.kind for one in delete(full, listed)] == ["checkpoints", "runs", "dead-features"]


def test_a_registered_model_keeps_its_features_and_where_it_cannot_be_read_none_go(full: Home, untrained_model: Path):
    shutil.rmtree(full.runs)
    packs = full.features / "v1"
    assert {packs / spec.identity for spec in (AUDIO, VISUAL)} < found(full)["unused-features"]
    with start_run(full, "trains") as run:
        register_model(full, log_model(run, untrained_model), aliases=("champion",))
    assert found(full)["unused-features"] == {packs / OTHER.identity}
    shutil.rmtree(full.artifacts)
    report = find_garbage(full, kinds=KINDS)
    assert not any("features" in one.kind for one in report.garbage)
    assert report.left[0].startswith("features: cannot find the model")


def test_a_model_folder_that_is_not_registered_keeps_its_features(home: Home, untrained_model: Path):
    kept = aged(stored(home, OTHER))
    shutil.copytree(untrained_model, home.runs / "x" / "model")
    card = json.loads((home.runs / "x" / "model" / "card.json").read_text())
    (home.runs / "x" / "model" / "card.json").write_text(json.dumps({**card, "visual_encoder": plain(OTHER)}))
    assert "unused-features" not in found(home)
    shutil.rmtree(home.runs)
    assert found(home)["unused-features"] == {kept}


def test_features_that_lie_elsewhere_may_be_needed_by_others(full: Home):
    report = find_garbage(replace(full, features_at=str(full.features)), kinds=KINDS)
    assert not any("features" in one.kind for one in report.garbage)
    assert "which the models of other homes may need too" in report.left[0]


def test_an_unknown_kind_is_wrong_usage(home: Home, capfd: pytest.CaptureFixture[str]):
    assert main(["gc", "--kind", "checkpoint"]) == 2
    assert "did you mean 'checkpoints'" in capfd.readouterr().err
