"""Which models the desk offers: those named on its command line, and those in the registry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from iamsb_core.digest import digest
from storage.home import Home
from storage.model_versions import ModelVersion, model_versions
from storage.registry import CHAMPION, resolve_model

log = logging.getLogger(__name__)

_KEY_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class DeskModel:
    """A model that can be chosen."""

    key: str
    """from its content: names it in addresses, and the folder of its reports"""
    uri: str
    label: str
    is_champion: bool = False


class Models:
    """The models of one desk."""

    def __init__(self, home: Home, named: Sequence[str] = ()) -> None:
        """Raises ValueError for a named model that cannot be found."""
        self._home = home
        self._named = tuple(self._resolved(uri) for uri in named)

    def listed(self) -> tuple[DeskModel, ...]:
        """Each model once: the named ones first, then the champion, then the other versions, newest first."""
        versions = [_of_version(each) for each in self._registered()]
        ordered = [*self._named, *sorted(versions, key=lambda each: not each.is_champion)]
        unique: dict[str, DeskModel] = {}
        for each in ordered:
            unique.setdefault(each.key, each)
        return tuple(unique.values())

    def find(self, key: str) -> DeskModel:
        """The model of this key. Raises ValueError for another."""
        found = next((each for each in self.listed() if each.key == key), None)
        if found is None:
            raise ValueError("this desk has no such model; reload the page")
        return found

    def _registered(self) -> tuple[ModelVersion, ...]:
        try:
            return model_versions(self._home)
        except ValueError as error:  # a tracking server that is away: what was examined can still be looked at
            log.warning("the registry's models are not listed: %s", error)
            return ()

    def _resolved(self, uri: str) -> DeskModel:
        _, ref = resolve_model(self._home, uri)
        name, at, _alias = uri.rpartition("@")
        fixed = f"{name}/{ref.version}" if at and ref.version else uri  # an alias may move while the desk is open
        return DeskModel(key=ref.sha256[:_KEY_CHARACTERS], uri=fixed, label=uri)


def _of_version(version: ModelVersion) -> DeskModel:
    content = version.sha256 or digest(version.uri)
    told = f", {' and '.join(version.aliases)}" if version.aliases else ""
    label = f"iamsb {version.version}{told}, {version.created.astimezone():%Y-%m-%d %H:%M}"
    return DeskModel(content[:_KEY_CHARACTERS], version.uri, label, CHAMPION in version.aliases)
