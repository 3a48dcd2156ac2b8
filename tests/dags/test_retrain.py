"""The nightly: what it does with new data, with none, with corrections, and beside another one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_work import tiny_training

from flows.retrain import LOCK_FILE, Retraining, retrain
from iamsb_core.metrics.promotion import PromotionRule
from iamsb_core.training.model_folder import load_model
from storage.corrections import Correction, Corrections, Judgement
from storage.home import Home
from storage.registry import get_alias, resolve_model, roll_back, set_alias
from storage.staging import exclusive_now
from tasks.promotion import DataSource, TestSet

pytestmark = pytest.mark.usefixtures("prefect_server")

LENIENT = PromotionRule(tolerance=1.0, max_p_value=1.0, num_replicates=20)
"""whatever has the larger number is promoted"""
STRICT = PromotionRule(max_p_value=0.0, num_replicates=20)
"""nothing is"""


@pytest.fixture(scope="module")
def first(
    tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: None
) -> tuple[Retraining, Path]:
    """The first nightly of a home."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("nightly") / "home"
        patch.setenv("IAMSB_HOME", str(folder))
        return retrain(tiny_dataset, config=tiny_training()), folder


@pytest.fixture(autouse=True)
def home(first: tuple[Retraining, Path], monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("IAMSB_HOME", str(first[1]))
    return Home.current()


def champion(home: Home) -> str:
    found = get_alias(home)
    assert found is not None
    return found.uri


def grown(tiny_dataset: Path, folder: Path) -> Path:
    """The same dataset, of which one video was not there yet."""
    folder.mkdir()
    entries = json.loads((tiny_dataset / "metadata.min.json").read_text())
    for split in ("train", "dev", "test"):
        shutil.copytree(tiny_dataset / split, folder / split)
    (folder / "metadata.min.json").write_text(json.dumps(entries[1:]))
    return folder


def corrected(home: Home, tiny_dataset: Path) -> Path:
    """The desk's corrections of three test clips: two are to train on, one is a dev clip."""
    kept = Corrections(home.desk)
    for place, video in enumerate(sorted((tiny_dataset / "test").glob("*.mp4"))):
        judgement = Judgement(stream="audio" if place else "visual", decision="added", truth=(0.5, 1.2))
        kept.save(
            Correction(
                sha256=f"{place:x}" * 64,
                name=video.name,
                by="A",
                at="2026-01-01T00:00:00+00:00",
                model="models:/iamsb/1",
                model_sha256="",
                duration_seconds=2.5,
                complete=True,
                judgements=(judgement,),
            ),
            video,
        )
    return kept.folder


def test_the_first_model_becomes_the_champion_and_the_page_says_so(first: tuple[Retraining, Path]):
    done, _ = first
    assert (done.outcome, done.champion, done.decision) == ("promoted", "", None)
    assert done.page is not None
    assert "is the first champion" in done.page.read_text()


def test_with_nothing_new_nothing_is_done(first: tuple[Retraining, Path], tiny_dataset: Path, tmp_path: Path):
    idle = retrain(tiny_dataset, config=tiny_training())
    assert (idle.outcome, idle.candidate, idle.page) == ("nothing new", "", None)
    assert "trained on this very data" in idle.message
    assert retrain(tmp_path / "nowhere", config=tiny_training()).outcome == "no data"
    (tmp_path / "manifest.jsonl").touch()
    assert retrain(tmp_path, "generic", config=tiny_training()).outcome == "no data", "no full correction yet"


def test_new_data_is_trained_on_compared_and_not_compared_again(
    first: tuple[Retraining, Path], tiny_dataset: Path, tmp_path: Path, home: Home
):
    root = grown(tiny_dataset, tmp_path / "grown")
    fixed = (TestSet(dataset="lavdf", root=tiny_dataset), TestSet(dataset="lavdf", root=tiny_dataset, split="dev"))
    done = retrain(root, config=tiny_training(), test_sets=fixed, rule=STRICT)
    assert (done.outcome, done.champion) == ("kept", first[0].candidate)
    assert champion(home) == first[0].candidate
    assert done.decision is not None
    assert [one.test_set for one in done.decision.sets] == ["lavdf tiny test", "lavdf tiny dev"]
    assert done.page is not None
    report = json.loads(done.page.with_suffix(".json").read_text())
    assert report["data"]["removed"] == [json.loads((tiny_dataset / "metadata.min.json").read_text())[0]["file"]]
    assert report["num_decoded"] == 0, "every clip was known"
    again = retrain(root, config=tiny_training(), test_sets=fixed, rule=STRICT)
    assert again.outcome == "nothing new"
    assert "was compared with the champion" in again.message
    asked = retrain(root, config=tiny_training(), test_sets=fixed[:1], rule=LENIENT)
    assert asked.decision is not None
    better = asked.decision.candidate > asked.decision.champion
    assert asked.outcome == ("promoted" if better else "kept")
    assert champion(home) == (asked.candidate if better else first[0].candidate)
    if better:
        assert roll_back(home).version == "1"
    else:
        set_alias(home, asked.candidate.rpartition("/")[2])
        roll_back(home)
    idle = retrain(root, config=tiny_training(), test_sets=fixed[:1], rule=LENIENT)
    assert idle.outcome == "nothing new"
    assert "was rolled back" in idle.message, "what somebody took back does not come back by itself"


def test_corrections_are_trained_on_alone_and_beside_another_dataset_and_from_the_champion(
    first: tuple[Retraining, Path], tiny_dataset: Path, home: Home
):
    folder = corrected(home, tiny_dataset)
    alone = retrain(folder, "generic", config=tiny_training(), rule=STRICT, warm=True)
    assert alone.outcome == "kept"
    assert alone.decision is not None
    assert [one.test_set for one in alone.decision.sets] == ["generic corrections dev"]
    ours, theirs = (load_model(resolve_model(home, uri)[0]) for uri in (alone.candidate, alone.champion))
    assert ours.card.training["start"] == alone.champion
    known = dict(theirs.system.named_buffers())
    assert known
    assert all(torch.equal(value, known[name]) for name, value in ours.system.named_buffers()), "not measured anew"
    beside = (DataSource(dataset="generic", root=folder), DataSource(dataset="generic", root=folder / "nowhere"))
    done = retrain(tiny_dataset, config=tiny_training(), also=beside, rule=STRICT)
    assert done.page is not None
    report = json.loads(done.page.with_suffix(".json").read_text())
    assert [name.split(":")[0] for name in report["data"]["added"]] == ["2", "2", "2"]
    assert report["data"]["num_videos"] == 12
    assert len(report["datasets"]) == 2


def test_a_second_nightly_says_who_is_at_work_and_ends_well(tiny_dataset: Path, home: Home):
    with exclusive_now(home.root / LOCK_FILE, "process 1 on elsewhere") as other:
        assert other is None
        done = retrain(tiny_dataset, config=tiny_training(seed=5))
    assert done.outcome == "busy"
    assert done.message == "another retraining is at work (process 1 on elsewhere); this one did nothing"


def test_another_system_cannot_go_on_from_the_champion(tiny_dataset: Path):
    config = replace(tiny_training(seed=7), system_config=tiny_training().system_config | {"dim": 16})
    with pytest.raises(ValueError, match="another configuration of the system; train from scratch"):
        retrain(tiny_dataset, config=config, warm=True)
