"""From JSON data back to the frozen dataclasses that configure everything: strict, with the path in every message."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from typing import Any, TypeVar

import pydantic

T = TypeVar("T")


def parse(kind: type[T], data: Any, *, where: str = "") -> T:
    """The dataclass that the data describes; missing fields take their defaults.

    Raises ValueError for an unknown key (naming the nearest known one) and for a value of the wrong type.
    """
    place = where or kind.__name__
    _refuse_unknown(kind, data, place)
    try:
        return pydantic.TypeAdapter(kind).validate_python(data)
    except pydantic.ValidationError as error:
        problems = "; ".join(
            f"{'.'.join([place, *map(str, found['loc'])])}: {found['msg']}" for found in error.errors()
        )
        raise ValueError(f"cannot read {place}: {problems}") from None


def _refuse_unknown(kind: Any, data: Any, where: str) -> None:
    """Walk the data beside the type: every key of every nested dataclass must be a field."""
    chosen = _dataclass_in(kind)
    if chosen is None or not isinstance(data, dict):
        return
    hints = typing.get_type_hints(chosen)
    for key, value in data.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(hints)}"
            raise ValueError(f"{where} has no key {key!r}{hint}")
        _refuse_unknown(hints[key], value, f"{where}.{key}")


def _dataclass_in(kind: Any) -> type | None:
    """The dataclass that an annotation such as `A` or `A | None` names."""
    if dataclasses.is_dataclass(kind):
        return typing.cast(type, kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next((part for part in map(_dataclass_in, typing.get_args(kind)) if part is not None), None)
    return None
