"""The models that the registry has, for those who choose one from a list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from storage.home import Home
from storage.mlflow_setup import connect
from storage.registry import MODEL_NAME

_MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version in the registry."""

    uri: str
    version: str
    sha256: str
    """of the model folder; empty for one that was registered by other software"""
    aliases: tuple[str, ...]
    created: datetime


def model_versions(home: Home, name: str = MODEL_NAME) -> tuple[ModelVersion, ...]:
    """Every version of a model, the newest first; empty where nothing was ever trained."""
    if home.tracking_uri() == f"sqlite:///{home.mlflow_database}" and not home.mlflow_database.exists():
        return ()
    client = connect(home)
    found = client.search_model_versions(f"name = '{name}'", max_results=_MOST_LISTED)
    aliases: dict[str, list[str]] = {}
    if found:
        for alias, version in client.get_registered_model(name).aliases.items():
            aliases.setdefault(str(version), []).append(alias)
    listed = [
        ModelVersion(
            uri=f"models:/{name}/{each.version}",
            version=str(each.version),
            sha256=each.tags.get("sha256", ""),
            aliases=tuple(sorted(aliases.get(str(each.version), ()))),
            created=datetime.fromtimestamp(each.creation_timestamp / 1000, UTC),
        )
        for each in found
    ]
    return tuple(sorted(listed, key=lambda each: int(each.version), reverse=True))
