"""Backup and restore: a home that was destroyed comes back with its metrics, its champion and its reports."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from flows.cli import main
from iamsb_core.training.model_folder import load_model
from storage.backup import back_up
from storage.home import Home
from storage.mlflow_setup import connect, local_path
from storage.registry import get_alias, log_model, register_model, resolve_model, set_alias
from storage.restore import problems_of, read_backup, restore
from storage.sqlite_copy import copy_database, damage_of
from storage.tracking import start_run


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory, untrained_model: Path) -> Path:
    """A home with a run, its model as champion, a report, a correction and features."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home = Home(tmp_path_factory.mktemp("lived") / "home")
        with start_run(home, "trains") as run:
            run.log_metrics({"ap@0.5": 0.75}, 3)
            run.log_text("notes", "notes.txt")
            model = register_model(home, log_model(run, untrained_model))
        set_alias(home, model.version, why="the first")
    for name in ("reports/talk/report.html", "desk/corrections/manifest.jsonl", "features/v1/x", "logs/prefect.log"):
        (home.root / name).parent.mkdir(parents=True)
        (home.root / name).write_text(name)
    (home.desk / ".staging" / "tmp1").mkdir(parents=True)
    (home.desk / ".staging" / "tmp1" / "half").touch()
    (home.desk / "link").symlink_to("/etc")
    return home.root


@pytest.fixture
def home(lived_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same home's place, restored by whoever destroys it."""
    monkeypatch.setenv("IAMSB_HOME", str(lived_in))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home(lived_in)


def champion_and_metric(home: Home) -> tuple[str, float, str]:
    found = get_alias(home)
    assert found is not None
    folder, ref = resolve_model(home, "models:/iamsb@champion")
    assert home.root in folder.parents
    load_model(folder)
    client = connect(home)
    run = client.get_run(ref.run_id)
    notes = Path(client.download_artifacts(ref.run_id, "notes.txt")).read_text()
    return found.version, run.data.metrics["ap_0.5"], notes


def test_a_destroyed_home_comes_back(home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert main(["backup", str(tmp_path / "kept"), "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    record = read_backup(tmp_path / "kept")
    assert said["num_files"] == len(record.files)
    assert {"mlflow.db", "reports/talk/report.html", "desk/corrections/manifest.jsonl"} <= set(record.files)
    assert not any(name.startswith(("features/", "logs/", "desk/.staging", "desk/link")) for name in record.files)
    shutil.rmtree(home.root)
    assert main(["restore", str(tmp_path / "kept"), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["champion"], told["num_models"], told["has_features"]) == ("1", 1, False)
    assert champion_and_metric(home) == ("1", 0.75, "notes")
    assert (home.reports / "talk" / "report.html").read_text() == "reports/talk/report.html"
    (home.features / "v1").mkdir(parents=True)
    (home.features / "v1" / "x").write_text("features/v1/x")


def test_it_comes_back_at_another_place_too(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    back_up(home, tmp_path / "kept", features=True)
    hidden = home.root.with_name("hidden")
    home.root.rename(hidden)
    try:
        elsewhere = Home(tmp_path / "with space" / "new home")
        elsewhere.root.mkdir(parents=True)  # as a new volume is
        restore(tmp_path / "kept", elsewhere)
        assert list(elsewhere.root.glob(".*")) == []
        monkeypatch.setenv("IAMSB_HOME", str(elsewhere.root))
        assert champion_and_metric(elsewhere) == ("1", 0.75, "notes")
        assert (elsewhere.features / "v1" / "x").is_file()
        with start_run(elsewhere, "goes on") as run:
            run.log_text("more", "more.txt")
        place = local_path(connect(elsewhere).get_run(run.run_id).info.artifact_uri)
        assert place is not None
        assert elsewhere.root in place.parents
        assert (place / "more.txt").read_text() == "more"
    finally:
        hidden.rename(home.root)


def test_a_damaged_backup_restores_nothing(home: Home, tmp_path: Path):
    back_up(home, tmp_path / "kept")
    report = tmp_path / "kept" / "home" / "reports" / "talk" / "report.html"
    report.write_text("reports/talk/tampered")
    (report.parent / "more").touch()
    record = read_backup(tmp_path / "kept")
    assert problems_of(tmp_path / "kept", record) == [
        "reports/talk/more does not belong there",
        "reports/talk/report.html has other content",
    ]
    new = Home(tmp_path / "new")
    with pytest.raises(ValueError, match=r"is damaged: reports/talk/more does not belong there, and 1 more; nothing"):
        restore(tmp_path / "kept", new)
    report.unlink()
    with pytest.raises(ValueError, match=r"report\.html is missing"):
        restore(tmp_path / "kept", new)
    assert not new.root.exists()
    assert list(tmp_path.glob(".*")) == []


def test_a_backup_cannot_write_outside_the_home(home: Home, tmp_path: Path):
    back_up(home, tmp_path / "kept")
    (tmp_path / "kept" / "outside").write_text("x")
    document = json.loads((tmp_path / "kept" / "backup.json").read_text())
    document["files"]["../outside"] = {"size_bytes": 1, "sha256": "0" * 64}
    (tmp_path / "kept" / "backup.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"\.\./outside is missing"):
        restore(tmp_path / "kept", Home(tmp_path / "deep" / "new"))
    assert not (tmp_path / "deep" / "outside").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no backup.json"),
        ("{", "is damaged"),
        ('{"format": "iamsb-backup-v2"}', "format 'iamsb-backup-v2', and this software reads 'iamsb-backup-v1'"),
        ("[]", "format 'list'"),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, text: str | None, message: str):
    if text is not None:
        (tmp_path / "backup.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        restore(tmp_path, Home(tmp_path / "new"))


def test_places_that_would_do_harm_are_refused(home: Home, tmp_path: Path):
    with pytest.raises(ValueError, match="is there already"):
        back_up(home, tmp_path)
    with pytest.raises(ValueError, match="lies in the home itself"):
        back_up(home, home.root / "backups" / "one")
    with pytest.raises(ValueError, match="there is no home"):
        back_up(Home(tmp_path / "nowhere"), tmp_path / "kept")
    back_up(home, tmp_path / "kept")
    with pytest.raises(ValueError, match="is not empty; move it away"):
        restore(tmp_path / "kept", home)


def test_a_database_is_copied_as_of_one_moment_while_it_is_written_to(tmp_path: Path):
    live = tmp_path / "live.db"
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    enough = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(live, timeout=30)) as connection:
            number = 0
            while not enough.is_set():
                with connection:  # both rows or neither
                    connection.execute("INSERT INTO pairs VALUES (?, 0)", (number,))
                    connection.execute("INSERT INTO pairs VALUES (?, 1)", (number,))
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for copy in (tmp_path / f"copy{number}.db" for number in range(5)):
            copy_database(live, copy)
            with closing(sqlite3.connect(copy)) as connection:
                counts = connection.execute("SELECT COUNT(*), COUNT(DISTINCT a) FROM pairs").fetchone()
            assert counts[0] == 2 * counts[1]
            assert damage_of(copy) is None
            assert not copy.with_name(copy.name + "-wal").exists()
    finally:
        enough.set()
        writer.join()
    with pytest.raises(ValueError, match="cannot copy the database"):
        copy_database(tmp_path / "nowhere.db", tmp_path / "x.db")
