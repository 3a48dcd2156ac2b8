"""`iamsb gc`, `backup`, `restore` and `store migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from flows.environment import Orchestrator, is_alive, read_services
from flows.terminal import Terminal, UsageError
from iamsb_core.datasets.fields import suggestion
from iamsb_core.digest import plain
from storage.home import Home

_UNITS = ("B", "kB", "MB", "GB", "TB")


def gc(
    terminal: Terminal, *, orchestrator: Orchestrator, apply: bool, kinds: tuple[str, ...], days: float
) -> dict[str, Any]:
    """List what may go; delete it where that is asked for."""
    del orchestrator
    from storage.retention import KINDS, USUAL, Kind, delete, find_garbage  # noqa: PLC0415 - imports MLflow

    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        hint = suggestion(unknown[0], KINDS)
        raise UsageError(f"no kind {unknown[0]!r}{hint}; there are {', '.join(KINDS)}")
    home = Home.current()
    found = find_garbage(home, kinds=cast("tuple[Kind, ...]", kinds) or USUAL, days=days)
    rows = [(one.kind, str(one.path), one.why, size_text(one.num_bytes)) for one in found.garbage]
    if rows:
        terminal.table("what may go", ("kind", "path", "why", "size"), rows)
    for reason in found.left:
        terminal.say(f"not looked at: {reason}")
    gone = delete(home, found.garbage) if apply else []
    freed = sum(one.num_bytes for one in gone)
    if apply:
        terminal.say(f"deleted {len(gone)} of {len(found.garbage)}, {size_text(freed)}")
    elif rows:
        terminal.say(f"{size_text(found.num_bytes)} in all; nothing was deleted: --apply does it")
    else:
        terminal.say(f"nothing to let go of in {home.root}")
    return {
        "applied": apply,
        "garbage": plain(found.garbage),
        "num_bytes": found.num_bytes,
        "left": plain(found.left),
        "deleted": [str(one.path) for one in gone],
        "num_bytes_deleted": freed,
    }


def backup(terminal: Terminal, *, orchestrator: Orchestrator, out: Path, features: bool) -> dict[str, Any]:
    """Write a backup and say what is not in it."""
    del orchestrator
    from storage.backup import back_up  # noqa: PLC0415

    home = Home.current()
    record = back_up(home, out, features=features)
    terminal.say(f"{len(record.files)} files, {size_text(record.num_bytes)}, in {out}")
    elsewhere = _tracked_elsewhere(home)
    if elsewhere:
        terminal.say(f"not in it: runs and models at {elsewhere}; back that up by its own rules")
    if not features and home.features.is_dir():
        terminal.say("not in it: the feature store, which `iamsb extract` makes again; --features takes it in")
    summary = {"created": record.created, "num_files": len(record.files), "num_bytes": record.num_bytes}
    return {"out": out, **summary, "has_features": features, "tracked_elsewhere": elsewhere}


def restore(terminal: Terminal, *, orchestrator: Orchestrator, folder: Path) -> dict[str, Any]:
    """Make the home from a backup, and say what it holds."""
    del orchestrator
    from storage.model_versions import model_versions  # noqa: PLC0415 - imports MLflow
    from storage.restore import restore as restored  # noqa: PLC0415

    home = Home.current()
    _require_no_services(home)
    record = restored(folder, home)
    versions = () if _tracked_elsewhere(home) else model_versions(home)
    champion = next((each.version for each in versions if "champion" in each.aliases), None)
    terminal.say(f"{len(record.files)} files of {record.created} in {home.root}")
    terminal.say(f"{len(versions)} models in the registry, champion: {champion or 'none'}")
    if not record.has_features:
        terminal.say("the features were not in it; the next `iamsb extract` makes them again")
    return {
        "home": home.root,
        "created": record.created,
        "num_files": len(record.files),
        "num_models": len(versions),
        "champion": champion,
        "has_features": record.has_features,
    }


def migrate(terminal: Terminal, *, orchestrator: Orchestrator) -> dict[str, Any]:
    """Bring what is stored to the formats of this release."""
    del orchestrator
    from storage.mlflow_schema import migrate_database  # noqa: PLC0415 - imports MLflow
    from storage.store_format import migrate as migrate_features  # noqa: PLC0415

    home = Home.current()
    _require_no_services(home)
    place = home.feature_place
    if not isinstance(place, Path):  # object storage has known one format only
        terminal.say(f"features: at {place}, nothing to do")
        place = home.features
    features = migrate_features(place)
    if features.num_packs:
        terminal.say(f"features: {features.num_packs} packs written anew as v{features.now}")
    else:
        terminal.say(f"features: {'format v' + str(features.now) if features.found else 'none yet'}, nothing to do")
    schema = migrate_database(home)
    if schema.kept:
        terminal.say(f"MLflow: schema {schema.found} -> {schema.wanted}; as it was: {schema.kept}")
    else:
        terminal.say(f"MLflow: {'none yet' if schema.state == 'absent' else 'schema ' + schema.found}, nothing to do")
    return {"features": plain(features), "mlflow": plain(schema)}


def size_text(num_bytes: int) -> str:
    """`1.5 GB`: three digits that matter."""
    size, unit = float(num_bytes), _UNITS[0]
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            break
        size /= 1000
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def _tracked_elsewhere(home: Home) -> str:
    """The MLflow server that the environment names; empty where the home's own database is used."""
    uri = home.tracking_uri()
    return "" if uri == f"sqlite:///{home.mlflow_database}" else uri


def _require_no_services(home: Home) -> None:
    running = [name for name, service in read_services(home).items() if is_alive(service["identity"])]
    if running:
        raise ValueError(f"{', '.join(running)} of this home run; stop them first with `iamsb down`")
