"""Where an alias of the registry pointed before: each move is a tag of the registered model, and none is ever changed.

    iamsb.alias.champion.0003 = {"version": "4", "from": "2", "why": "promoted", "at": "2026-01-02T03:04:05+00:00"}

Going back is a move like any other, so the tags tell everything that ever happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from mlflow import MlflowClient

from iamsb_core.configuration import parse
from iamsb_core.digest import plain

Way = Literal["forward", "back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """The alias went from one version to another."""

    version: str
    """where it points since"""
    before: str = ""
    """where it pointed until then; empty where it was new"""
    way: Way = "forward"
    why: str = ""
    at: str
    """UTC, ISO 8601"""

    @classmethod
    def now(cls, version: str, before: str, *, way: Way = "forward", why: str = "") -> AliasMove:
        """A move of this moment."""
        return cls(version=version, before=before, way=way, why=why, at=datetime.now(UTC).isoformat(timespec="seconds"))


def alias_moves(client: MlflowClient, name: str, alias: str) -> tuple[AliasMove, ...]:
    """Every recorded move, the oldest first. Raises ValueError for a tag that is damaged."""
    start = _prefix(alias)
    found = client.get_registered_model(name).tags
    return tuple(
        parse(AliasMove, _json(key, text), where=f"the tag {key} of model {name!r}")
        for key, text in sorted(found.items())
        if key.startswith(start)
    )


def record_move(client: MlflowClient, name: str, alias: str, move: AliasMove) -> None:
    """Note a move that was made."""
    place = len(alias_moves(client, name, alias)) + 1
    client.set_registered_model_tag(name, f"{_prefix(alias)}{place:04d}", json.dumps(plain(move)))


def trail(moves: Iterable[AliasMove], now: str) -> tuple[str, ...]:
    """The versions that going back passes through, the current one last.

    A move back drops what lies after the version it went to. Where others moved the alias without noting it, the
    trail takes up what they left.
    """
    found: list[str] = []
    for move in moves:
        if move.before and found[-1:] != [move.before]:
            found.append(move.before)
        if move.way == "back" and move.version in found:
            del found[len(found) - found[::-1].index(move.version) :]
        else:
            found.append(move.version)
    if found[-1:] != [now]:
        found.append(now)
    return tuple(found)


def left_behind(moves: Iterable[AliasMove]) -> tuple[str, ...]:
    """The versions that somebody went back from and that the alias was not given to since."""
    found: dict[str, None] = {}
    for move in moves:
        if move.way == "back":
            found[move.before] = None
        found.pop(move.version, None)
    return tuple(found)


def _prefix(alias: str) -> str:
    return f"iamsb.alias.{alias}."


def _json(key: str, text: str) -> dict[str, str]:
    try:
        data: dict[str, str] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the registry's tag {key} is damaged ({error}); remove it in MLflow") from None
    return data
