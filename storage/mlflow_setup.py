"""Reach MLflow: the server that the environment names, or a database of this home's own, made in one step."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import url2pathname, urlopen

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from storage.home import TRACKING_VARIABLE, Home
from storage.keys import STAGING_FOLDER
from storage.staging import exclusive, fsync_path, staging_folder, sweep

log = logging.getLogger(__name__)

EXPERIMENT = "iamsb"
_ANSWER_SECONDS = 10.0
_IS_URI = re.compile(r"(runs|models):|[A-Za-z][\w+.-]+:/")


def connect(home: Home) -> MlflowClient:
    """A client of the tracking store, ready for use.

    Any number of processes may call this at once. Raises ValueError where the store cannot be reached.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = home.tracking_uri()
    if uri == f"sqlite:///{home.mlflow_database}":
        initialise_database(home)
        from storage.mlflow_schema import require_current  # noqa: PLC0415 - which needs this file

        require_current(home.mlflow_database)
    if uri.startswith(("http:", "https:")):
        _check_answers(uri)
    try:
        with mlflow_quiet():
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        raise ValueError(f"cannot use the MLflow store {uri}: {error}; see {TRACKING_VARIABLE}") from error


def initialise_database(home: Home) -> None:
    """Make the home's MLflow database where there is none.

    MLflow takes its migrations one by one on the file itself, so that two processes which start together break each
    other's, and a kill leaves half a schema. Here one process at a time makes the tables in a private file, which then
    gets its name in one step.
    """
    if home.mlflow_database.exists():
        return
    with exclusive(home.root / "mlflow.lock"):
        if not home.mlflow_database.exists():
            _make_database(home)


def _make_database(home: Home) -> None:
    with mlflow_quiet():
        from mlflow.store.tracking import sqlalchemy_store  # noqa: PLC0415  (a second of imports)
    make_store: Any = sqlalchemy_store.SqlAlchemyStore
    staging = home.root / STAGING_FOLDER
    sweep(staging)
    with staging_folder(staging) as private:
        unnamed = private / home.mlflow_database.name
        with unsynchronised_sqlite():
            make_store(f"sqlite:///{unnamed}", home.artifacts.as_uri()).engine.dispose()
        fsync_path(unnamed)
        unnamed.rename(home.mlflow_database)
    fsync_path(home.root)


def experiment_id(client: MlflowClient, home: Home, name: str = EXPERIMENT) -> str:
    """The experiment of that name, made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    is_local = client.tracking_uri.startswith("sqlite:")
    location = (home.artifacts / name).as_uri() if is_local else None  # a server has its own place
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


@contextlib.contextmanager
def mlflow_quiet() -> Iterator[None]:
    """Without the warnings that MLflow gives about itself, of which the user can do nothing.

    Its database models use a loader option that SQLAlchemy 2.1 deprecates, its own types are too loose for it, and it
    wants an example input (a video) inside every model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def unsynchronised_sqlite() -> Iterator[None]:
    """SQLite connections that leave the disk to us: some sixty migrations would wait for it one by one."""
    from sqlalchemy import Engine, event  # noqa: PLC0415

    def relax(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", relax)
    try:
        yield
    finally:
        event.remove(Engine, "connect", relax)


def local_path(uri: str) -> Path | None:
    """The folder of a plain path or a file: URI; None for any other URI."""
    if uri.startswith("file:"):
        return Path(url2pathname(urlsplit(uri).path))
    return None if _IS_URI.match(uri) else Path(uri)


def is_reachable(uri: str) -> bool:
    """Whether the store answers at once; a local one is always there."""
    if not uri.startswith(("http:", "https:")):
        return True
    try:
        _check_answers(uri)
    except ValueError:
        return False
    return True


def _check_answers(uri: str) -> None:
    """Raises ValueError at once where a server is not there; MLflow itself would try again for minutes."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_SECONDS):  # noqa: S310  (http or https, checked)
            return
    except HTTPError:
        return  # it answers, if only to say no
    except OSError as error:
        raise ValueError(
            f"no MLflow server answers at {uri} ({error}); start it, or unset {TRACKING_VARIABLE} to use a local store"
        ) from error
