"""Formats: an older store is taken over, a newer one refused, and MLflow's tables are brought up to date whole."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flows.cli import main
from iamsb_core.digest import plain
from iamsb_core.encoders.base import EncodedTrack, StreamSpec
from iamsb_core.encoders.load import encoder_specs
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from storage.home import Home
from storage.mlflow_schema import migrate_database, schema_of
from storage.mlflow_setup import connect, mlflow_quiet, unsynchronised_sqlite
from storage.pack_writer import PackWriter
from storage.store_format import check_format, formats, migrate
from storage.tracking import start_run

SPEC = encoder_specs("handcrafted")[0]
STREAM = StreamSpec(encoder_identity=SPEC.identity, dim=3, hop_seconds=0.5)
VALUES = {"a" * 64: np.arange(6, dtype=np.float32).reshape(2, 3), "b" * 64: np.ones((4, 3), np.float32)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home(tmp_path / "home")


def store_of_version_0(root: Path) -> None:
    """A format that never was: one JSON file of everything for each encoder."""
    (root / "v0").mkdir(parents=True)
    clips = {sha256: values.tolist() for sha256, values in VALUES.items()}
    document = {"spec": plain(SPEC), "stream": plain(STREAM), "clips": clips}
    (root / "v0" / f"{SPEC.identity}.json").write_text(json.dumps(document))


def from_0_to_1(old: Path, new: Path) -> None:
    for path in old.glob("*.json"):
        document = json.loads(path.read_text())
        writer = PackWriter(new / SPEC.identity / "pack.zarr", STREAM, SPEC, "float16")
        for sha256, rows in document["clips"].items():
            track = EncodedTrack(FeatureTrack(np.array(rows, np.float32), TimeGrid(0.5, len(rows))))
            writer.add(ClipEntry.encoded(sha256, track, len(rows) * 0.5))
        digest = writer.finish()
        writer.folder.rename(new / SPEC.identity / f"{digest}.zarr")


def test_an_older_store_is_refused_with_the_way_out_and_taken_over_by_its_step(tmp_path: Path):
    store_of_version_0(tmp_path)
    with pytest.raises(ValueError, match=r"have the format v0, and this software reads v1; `iamsb store migrate`"):
        FeatureStore(tmp_path)
    done = migrate(tmp_path, steps={0: from_0_to_1})
    assert (done.found, done.now, done.num_packs) == ((0,), 1, 1)
    assert formats(tmp_path) == (1,)
    store = FeatureStore(tmp_path)
    assert store.verify().is_sound
    for sha256, values in VALUES.items():
        read = store.read(SPEC.identity, sha256)
        assert read is not None
        np.testing.assert_array_equal(read.track.main.values, values)
    assert migrate(tmp_path, steps={0: from_0_to_1}).num_packs == 0, "there is nothing left to do"


def test_a_step_that_fails_or_is_cut_short_loses_nothing(tmp_path: Path):
    store_of_version_0(tmp_path)

    def fails(old: Path, new: Path) -> None:
        from_0_to_1(old, new)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        migrate(tmp_path, steps={0: fails})
    assert formats(tmp_path) == (0,)
    migrate(tmp_path, steps={0: from_0_to_1})
    store_of_version_0(tmp_path)  # as if it had been killed before the old folder went
    assert migrate(tmp_path, steps={0: from_0_to_1}).found == (0, 1)
    assert FeatureStore(tmp_path).complete(SPEC.identity, VALUES)


def test_a_step_nobody_knows_and_a_newer_store_are_refused_and_left_as_they_are(tmp_path: Path):
    store_of_version_0(tmp_path)
    with pytest.raises(ValueError, match=r"no step from format v0; remove .*v0 and extract again"):
        migrate(tmp_path)
    newer = tmp_path / "newer" / "v2" / SPEC.identity
    newer.mkdir(parents=True)
    (newer / "zarr.json").write_text("{}")
    for refused in (lambda: FeatureStore(tmp_path / "newer"), lambda: migrate(tmp_path / "newer")):
        with pytest.raises(ValueError, match=r"format v2, and this software knows up to v1: a newer one made them"):
            refused()
    assert (newer / "zarr.json").read_text() == "{}"
    (tmp_path / "empty" / "v9").mkdir(parents=True)
    check_format(tmp_path / "empty")


def database_of(home: Home, revision: str) -> None:
    """MLflow's tables as that revision had them, with one run."""
    home.root.mkdir()
    with mlflow_quiet(), unsynchronised_sqlite():
        from alembic import command  # noqa: PLC0415
        from mlflow.store.db import utils  # noqa: PLC0415
        from mlflow.store.tracking.dbmodels.initial_models import Base  # noqa: PLC0415

        engine = utils.create_sqlalchemy_engine_with_retry(f"sqlite:///{home.mlflow_database}")
        Base.metadata.create_all(engine)
        config = utils._get_alembic_config(str(engine.url))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        engine.dispose()
    with closing(sqlite3.connect(home.mlflow_database)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES (7, 'old', ?, ?)",
            (home.artifacts.as_uri(), "active"),
        )


def test_an_older_mlflow_database_says_so_and_is_brought_up_to_date(home: Home, capfd: pytest.CaptureFixture[str]):
    database_of(home, "da6fb0208061")
    assert schema_of(home.mlflow_database).state == "older"
    with pytest.raises(ValueError, match="`iamsb store migrate`"):
        start_run(home, "x")
    assert main(["store", "migrate", "--json"]) == 0
    done = json.loads(capfd.readouterr().out)
    assert done["mlflow"]["found"] == "da6fb0208061"
    assert schema_of(home.mlflow_database).state == "current"
    assert schema_of(Path(done["mlflow"]["kept"])).state == "older", "as it was, it is kept"
    assert connect(home).get_experiment_by_name("old").experiment_id == "7"
    with start_run(home, "x") as run:
        run.log_metrics({"a": 1.0})
    assert migrate_database(home).kept == ""


def test_a_database_of_a_newer_mlflow_or_of_nobody_is_refused(home: Home, capfd: pytest.CaptureFixture[str]):
    with start_run(home, "x"):
        pass
    with closing(sqlite3.connect(home.mlflow_database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'fffffffffff1'")
    assert main(["store", "migrate"]) == 1
    assert "a newer one made it" in capfd.readouterr().err.replace("\n", " ")
    home.mlflow_database.write_bytes(b"no database" * 100)
    assert main(["store", "migrate"]) == 1
    assert "is no MLflow database" in capfd.readouterr().err.replace("\n", " ")
