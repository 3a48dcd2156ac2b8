"""The schema of the home's MLflow database: whether this MLflow reads it, and how it is brought up to date.

MLflow changes its tables with its versions. A database of an older one it either refuses, or migrates by itself on the
file in use, and it warns that migrations are not always transactions. So `connect` refuses such a database first, and
migrations are made on a copy, which replaces the database in one transaction when it is whole.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from storage.home import Home
from storage.keys import STAGING_FOLDER
from storage.mlflow_setup import mlflow_quiet, unsynchronised_sqlite
from storage.sqlite_copy import copy_database, open_read_only
from storage.staging import exclusive, staging_folder

State = Literal["absent", "current", "older", "newer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The version of a database's tables, in MLflow's own names."""

    state: State
    found: str = ""
    wanted: str = ""
    kept: str = ""
    """where the database as it was lies, where it was migrated"""


def schema_of(database: Path) -> Schema:
    """What the database has, and what this MLflow wants. Raises ValueError for a file that is no MLflow database."""
    if not database.exists():
        return Schema(state="absent")
    found = _revision(database)
    scripts = _scripts()
    wanted = str(scripts.get_current_head())
    if found == wanted:
        return Schema(state="current", found=found, wanted=wanted)
    known = {str(script.revision) for script in scripts.walk_revisions()}
    return Schema(state="older" if found in known else "newer", found=found, wanted=wanted)


def require_current(database: Path) -> None:
    """Raises ValueError, with the way out, for a database that this MLflow would refuse or change in place."""
    schema = schema_of(database)
    if schema.state == "older":
        raise ValueError(
            f"{database} has the schema {schema.found} of an older MLflow, and this one wants {schema.wanted}; "
            "`iamsb store migrate` brings it up to date, and keeps it as it was beside it"
        )
    if schema.state == "newer":
        raise ValueError(_newer(database, schema))


def _newer(database: Path, schema: Schema) -> str:
    return (
        f"{database} has the schema {schema.found}, which this MLflow does not know: a newer one made it; update "
        "MLflow, or restore a backup"
    )


def migrate_database(home: Home) -> Schema:
    """Bring the home's MLflow database to the schema that this MLflow reads; the old one is kept beside it.

    Nobody else may use it meanwhile: stop the services first. Raises ValueError for a database of a newer MLflow.
    """
    with exclusive(home.root / "mlflow.lock"):
        schema = schema_of(home.mlflow_database)
        if schema.state == "newer":
            raise ValueError(_newer(home.mlflow_database, schema))
        if schema.state != "older":
            return schema
        kept = home.mlflow_database.with_name(f"{home.mlflow_database.name}.before-{schema.wanted}")
        with staging_folder(home.root / STAGING_FOLDER) as private:
            copy = private / home.mlflow_database.name
            copy_database(home.mlflow_database, copy)
            _upgrade(copy)
            copy_database(home.mlflow_database, kept)
            copy_database(copy, home.mlflow_database)
    return Schema(state="current", found=schema.found, wanted=schema.wanted, kept=str(kept))


def _revision(database: Path) -> str:
    try:
        with contextlib.closing(open_read_only(database)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{database} is no MLflow database ({error}); restore a backup, or move it away") from error
    return str(rows[0][0]) if rows else ""


@functools.cache
def _scripts() -> Any:
    """Alembic's view of MLflow's migrations."""
    with mlflow_quiet():
        from alembic.script import ScriptDirectory  # noqa: PLC0415
        from mlflow.store.db import utils  # noqa: PLC0415
    untyped: Any = utils
    return ScriptDirectory.from_config(untyped._get_alembic_config("sqlite://"))


def _upgrade(database: Path) -> None:
    with mlflow_quiet(), unsynchronised_sqlite():  # a copy, which is not believed before it is whole
        from mlflow.store.db import utils  # noqa: PLC0415

        untyped: Any = utils
        engine = untyped.create_sqlalchemy_engine_with_retry(f"sqlite:///{database}")
        try:
            untyped._upgrade_db(engine)
        finally:
            engine.dispose()
