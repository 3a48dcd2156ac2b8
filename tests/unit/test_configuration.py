"""Digests and strict reading of configurations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iamsb_core.configuration import parse
from iamsb_core.digest import digest, digest_each, file_sha256, plain


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 4


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    maybe: Inner | None = None
    rates: tuple[float, ...] = (1.0,)


def test_a_configuration_survives_json() -> None:
    config = Outer(inner=Inner(width=7), maybe=Inner(), rates=(0.5, 2.0))
    assert parse(Outer, plain(config)) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"iner": {}}, "Outer has no key 'iner'; did you mean 'inner'"),
        ({"inner": {"widht": 1}}, "Outer.inner has no key 'widht'; did you mean 'width'"),
        ({"maybe": {"x": 1}}, "Outer.maybe has no key 'x'; known keys: width"),
        ({"inner": {"width": "wide"}}, "Outer.inner.width"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(Outer, data)


def test_a_digest_depends_on_values_and_not_on_order() -> None:
    assert digest({"a": 1, "b": (2,)}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": (3,)})


def test_values_one_at_a_time_have_the_digest_of_their_list() -> None:
    for values in ([], ["a"], ["a", {"b": None}, (1.5, Outer())]):
        assert digest_each(iter(values)) == digest(values)


def test_what_has_no_stable_text_has_no_digest() -> None:
    with pytest.raises(TypeError, match="set has no stable text"):
        digest({"a": {1, 2}})


def test_a_file_digest_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert file_sha256(tmp_path / "f") == expected
