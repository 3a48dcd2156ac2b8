"""Which encoders' features somebody may still want: those of any model that is kept, and those this software makes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.load import outdated
from iamsb_core.training.model_folder import CARD_FILE, ModelCard, read_card
from storage.errors import DamagedFeaturesError
from storage.home import Home
from storage.keys import PACK_SUFFIX, identity_folder
from storage.mlflow_setup import connect
from storage.pack import load_pack
from storage.pack_index import pack_names
from storage.registry import resolve_model

log = logging.getLogger(__name__)

Standing = Literal["wanted", "perturbed", "unused", "dead", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderUse:
    """What is known of one encoder's features in the store."""

    identity: str
    standing: Standing
    """wanted: a model needs them; perturbed: made for an examination of robustness, of clips as they never were;
    unused: no model needs them, but this software makes such ones; dead: it does not even do that; unreadable: no
    pack of theirs can be read, so nobody can tell"""
    why: str


def encoder_uses(home: Home, identities: list[str]) -> list[EncoderUse]:
    """The standing of each. Raises ValueError where a registered model cannot be read: nobody knows what it needs."""
    wanted = wanted_encoders(home)
    return [_use(home, identity, wanted) for identity in identities]


def wanted_encoders(home: Home) -> dict[str, str]:
    """Identity of every encoder that a model needs, and that model: in the registry, in MLflow's files, in `runs/`."""
    found: dict[str, str] = {}
    for name, card in _cards(home):
        for spec in (card.audio_encoder, card.visual_encoder):
            found.setdefault(spec.identity, name)
    return found


def _cards(home: Home) -> Iterator[tuple[str, ModelCard]]:
    for folder in (home.artifacts, home.runs):
        for path in sorted(folder.rglob(CARD_FILE)) if folder.is_dir() else ():
            try:
                yield str(path.parent), read_card(path.parent)
            except ValueError as error:
                log.warning("%s; what it would need is not known", error)
    for uri in _registered(home):
        folder, _ = resolve_model(home, uri)
        yield uri, read_card(folder)


def _registered(home: Home) -> list[str]:
    """Every version of every model in the registry. Raises ValueError where it cannot be asked."""
    if home.tracking_uri() == f"sqlite:///{home.mlflow_database}" and not home.mlflow_database.exists():
        return []
    try:
        client = connect(home)
        versions = [each for model in _all(client.search_registered_models) for each in _versions(client, model.name)]
    except MlflowException as error:
        raise ValueError(f"the registry cannot be asked which models are kept: {error.message}") from error
    ours = (each for each in versions if "sha256" in each.tags)  # other software's models need no features of ours
    return [f"models:/{each.name}/{each.version}" for each in ours]


def _versions(client: MlflowClient, name: str) -> Iterator[Any]:
    return _all(lambda **page: client.search_model_versions(f"name = '{name}'", **page))


def _all(search: Callable[..., Any]) -> Iterator[Any]:
    """Every page of one of MLflow's searches."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _use(home: Home, identity: str, wanted: dict[str, str]) -> EncoderUse:
    if identity in wanted:
        return EncoderUse(identity=identity, standing="wanted", why=f"{wanted[identity]} needs them")
    spec = _spec(identity_folder(home.features, identity))
    if spec is None:
        why = "none of its packs can be read; see `iamsb features verify`"
        return EncoderUse(identity=identity, standing="unreadable", why=why)
    reason = outdated(spec)
    if reason is not None:
        return EncoderUse(identity=identity, standing="dead", why=f"no model needs them, and {reason}")
    if spec.perturbations:
        kinds = ", ".join(f"{one.kind}:{one.level}" for one in spec.perturbations)
        return EncoderUse(identity=identity, standing="perturbed", why=f"{spec.name} of clips perturbed by {kinds}")
    return EncoderUse(identity=identity, standing="unused", why=f"no model needs the features of {spec.name}")


def _spec(folder: Path) -> EncoderSpec | None:
    """The encoder that a folder of packs is of, as the first whole one states it."""
    for name in pack_names(folder):
        try:
            return load_pack(folder / (name + PACK_SUFFIX)).encoder
        except (DamagedFeaturesError, FileNotFoundError) as error:
            log.warning("%s", error)
    return None
