"""Models in MLflow: log one without pickle, register it, name the champion, and find any model by its URI."""

from __future__ import annotations

import logging
import re
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException

from iamsb_core.digest import digest
from iamsb_core.training.model_folder import CARD_FILE, WEIGHTS_FILE, beside_pickles, model_sha256
from storage.alias_history import AliasMove, Way, alias_moves, left_behind, record_move, trail
from storage.home import Home
from storage.keys import STAGING_FOLDER
from storage.mlflow_setup import connect, local_path, mlflow_quiet
from storage.refs import ModelRef
from storage.staging import move_into_place, staging_folder
from storage.tracking import TrackedRun

log = logging.getLogger(__name__)

MODEL_NAME = "iamsb"
CHAMPION = "champion"
LOADER_MODULE = "storage.pyfunc_loader"
_ARTIFACT = "model"
_URI_FORMS = "a model folder, runs:/<run id>/model, models:/<name>/<version> or models:/<name>@champion"
_RUNS_URI = re.compile(r"runs:/+(?P<run_id>[^/]+)(/(?P<artifact>.+?))?/?")
_MODELS_URI = re.compile(r"models:/+(?P<name>[^/@]+)(/(?P<version>\d+)|@(?P<alias>[^/]+))?/?")


def log_model(run: TrackedRun, folder: Path, *, loader_module: str = LOADER_MODULE, step: int = 0) -> ModelRef:
    """Log a model folder (`iamsb_core.training.model_folder`) as the run's MLflow model."""
    experiment = run.client.get_run(run.run_id).info.experiment_id
    logged = run.client.create_logged_model(experiment, name=_ARTIFACT, source_run_id=run.run_id, model_type=MODEL_NAME)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _ARTIFACT
        save_as_mlflow(path, folder, run_id=run.run_id, model_id=logged.model_id, loader_module=loader_module)
        run.client.log_model_artifacts(logged.model_id, str(path))
    run.client.finalize_logged_model(logged.model_id, "READY")
    run.client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step)])
    return ModelRef(uri=f"runs:/{run.run_id}/{_ARTIFACT}", run_id=run.run_id, sha256=model_sha256(folder))


def save_as_mlflow(path: Path, folder: Path, *, run_id: str, model_id: str, loader_module: str = LOADER_MODULE) -> None:
    """The model folder as an MLflow model: with how to load it, what it takes and what it needs, and no pickle."""
    with mlflow_quiet():
        from mlflow.models import Model, ModelSignature  # noqa: PLC0415
        from mlflow.pyfunc import save_model  # noqa: PLC0415
        from mlflow.types import ColSpec, Schema  # noqa: PLC0415

        save_model(
            str(path),
            loader_module=loader_module,
            data_path=str(folder),
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            pip_requirements=[f"iamsb=={version('iamsb')}"],
            signature=ModelSignature(inputs=Schema([ColSpec("string")])),
        )


def register_model(home: Home, ref: ModelRef, name: str = MODEL_NAME, aliases: tuple[str, ...] = ()) -> ModelRef:
    """Make the logged model a version in the registry; the ref of that version. Aliases then point to it."""
    client = connect(home)
    model_id = _logged_model_id(client, ref.uri, ref.run_id)
    place = client.get_logged_model(model_id).artifact_location  # models:/<id> would be looked up globally by MLflow
    try:
        client.create_registered_model(name)
    except MlflowException:
        client.get_registered_model(name)  # there already; any other trouble is raised here
    made = client.create_model_version(name, place, run_id=ref.run_id, model_id=model_id, tags={"sha256": ref.sha256})
    for alias in aliases:
        client.set_registered_model_alias(name, alias, made.version)
    return ModelRef(
        uri=f"models:/{name}/{made.version}", run_id=ref.run_id, sha256=ref.sha256, version=str(made.version)
    )


def set_alias(
    home: Home, number: str, alias: str = CHAMPION, name: str = MODEL_NAME, *, way: Way = "forward", why: str = ""
) -> None:
    """Point an alias to a version, and note it in the alias's history. Raises ValueError without such a version."""
    before = get_alias(home, alias, name)
    client = connect(home)
    try:
        client.set_registered_model_alias(name, alias, number)
    except MlflowException as error:
        raise ValueError(f"no version {number} of model {name!r} in the registry: {error.message}") from error
    if before is None or before.version != str(number):
        move = AliasMove.now(str(number), "" if before is None else before.version, way=way, why=why)
        record_move(client, name, alias, move)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What going back did."""

    alias: str
    version: str
    """where the alias points now"""
    before: str
    """where it pointed until then"""
    earlier: tuple[str, ...]
    """versions that going back again would pass through, the next one first"""


def roll_back(home: Home, number: str = "", alias: str = CHAMPION, name: str = MODEL_NAME) -> Rollback:
    """Point the alias to the version it pointed to before, or to the one that is given.

    Raises ValueError where there is no alias, nothing before it, or no such version; nothing is changed then.
    """
    now = get_alias(home, alias, name)
    if now is None:
        raise ValueError(f"model {name!r} has no {alias} to go back from; `iamsb train` makes the first one")
    if number and number == now.version:
        raise ValueError(f"version {number} is the {alias} already; name another one")
    client = connect(home)
    known = trail(alias_moves(client, name, alias), now.version)
    if not number and len(known) < 2:
        raise ValueError(f"version {now.version} is the first {alias}: nothing to go back to; name a version instead")
    target = number or known[-2]
    set_alias(home, target, alias, name, way="back", why=f"rolled back from version {now.version}")
    left = trail(alias_moves(client, name, alias), target)
    return Rollback(alias=alias, version=target, before=now.version, earlier=left[-2::-1])


def rolled_back(home: Home, alias: str = CHAMPION, name: str = MODEL_NAME) -> tuple[str, ...]:
    """The versions that somebody rolled back, and that were not promoted since by hand."""
    return left_behind(alias_moves(connect(home), name, alias))


def get_alias(home: Home, alias: str = CHAMPION, name: str = MODEL_NAME) -> ModelRef | None:
    """The version that an alias points to; None where there is none."""
    try:
        found = connect(home).get_model_version_by_alias(name, alias)
    except MlflowException:
        return None
    return ModelRef(
        uri=f"models:/{name}/{found.version}",
        run_id=found.run_id or "",
        sha256=found.tags.get("sha256", ""),
        version=str(found.version),
    )


def resolve_model(home: Home, uri: str) -> tuple[Path, ModelRef]:
    """The model's folder on this machine, and its ref. Raises ValueError, naming the URIs that work."""
    folder = local_path(uri)
    if folder is not None:
        return _model_folder(folder, uri, run_id="", number="")
    client = connect(home)
    try:
        found = _find(client, uri)
    except MlflowException as error:
        raise _unknown(uri, f"{error.message} (asked {client.tracking_uri})") from error
    return _model_folder(_fetched(home, client, found), uri, found.run_id, found.number)


@dataclass(frozen=True, slots=True)
class _Found:
    """Where MLflow keeps a model."""

    location: str
    key: str
    """names the model among the copies that are kept here"""
    run_id: str
    number: str = ""
    """its version in the registry, where the URI names one"""


def _find(client: MlflowClient, uri: str) -> _Found:
    if runs := _RUNS_URI.fullmatch(uri):
        return _logged(client, _logged_model_id(client, uri, runs["run_id"]))
    models = _MODELS_URI.fullmatch(uri)
    if models is None:
        raise _unknown(uri, "it has another form")
    name = models["name"]
    if models["alias"] is not None:
        version_found = client.get_model_version_by_alias(name, models["alias"])
    elif models["version"] is not None:
        version_found = client.get_model_version(name, models["version"])
    else:
        return _logged(client, name)
    number = str(version_found.version)
    location = client.get_model_version_download_uri(name, number)
    return _Found(location, f"{name}-{number}-{digest(location)[:12]}", version_found.run_id or "", number)


def _logged(client: MlflowClient, model_id: str) -> _Found:
    model = client.get_logged_model(model_id)
    return _Found(model.artifact_location, model_id, model.source_run_id or "")


def _logged_model_id(client: MlflowClient, uri: str, run_id: str) -> str:
    outputs = client.get_run(run_id).outputs
    logged = [] if outputs is None else outputs.model_outputs
    if not logged:
        raise _unknown(uri, f"run {run_id} logged no model; was its training finished?")
    return str(max(logged, key=lambda output: output.step).model_id)


def _fetched(home: Home, client: MlflowClient, found: _Found) -> Path:
    """The MLflow model's folder: in place where it is on this machine, else a copy that is kept."""
    folder = local_path(found.location)
    if folder is not None:
        return folder
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415

    kept = home.work / "models" / found.key
    if not kept.is_dir():
        with staging_folder(home.root / STAGING_FOLDER) as private:
            fetched = download_artifacts(
                artifact_uri=found.location, dst_path=str(private / _ARTIFACT), tracking_uri=client.tracking_uri
            )
            move_into_place(Path(fetched), kept)
    return kept


def _model_folder(folder: Path, uri: str, run_id: str, number: str) -> tuple[Path, ModelRef]:
    """The folder with the card, in or below an MLflow model's folder."""
    if not folder.is_dir():
        raise _unknown(uri, f"there is no folder {folder}")
    cards = [folder / CARD_FILE, *sorted(folder.glob(f"data/*/{CARD_FILE}")), folder / "data" / CARD_FILE]
    found = next((card.parent for card in cards if card.is_file()), None)
    if found is None:
        raise _unknown(uri, f"{folder} holds no {CARD_FILE}{beside_pickles(folder)}")
    if not (found / WEIGHTS_FILE).is_file():
        raise _unknown(uri, f"{found} lacks {WEIGHTS_FILE}{beside_pickles(found)}")
    return found, ModelRef(uri=uri, run_id=run_id, sha256=model_sha256(found), version=number)


def _unknown(uri: str, why: str) -> ValueError:
    return ValueError(f"cannot find the model {uri!r}: {why}; a model is {_URI_FORMS} (`iamsb train` prints one)")
