"""Which comparisons a registered model has lost already, so that a nightly does not lose the same one every night.

A comparison is named by a digest of everything it rests on; a version that lost one has the tag `iamsb.lost.<digest>`.
"""

from __future__ import annotations

from storage.home import Home
from storage.mlflow_setup import connect
from storage.registry import MODEL_NAME

_YES = "yes"
_DIGITS = 32


def note_lost(home: Home, number: str, comparison: str, name: str = MODEL_NAME) -> None:
    """Version `number` was compared, and did not replace the champion."""
    connect(home).set_model_version_tag(name, number, _tag(comparison), _YES)


def lost_before(home: Home, comparison: str, name: str = MODEL_NAME) -> str | None:
    """The version that lost this very comparison; None where it was not made yet."""
    found = connect(home).search_model_versions(f"name = '{name}' and tags.`{_tag(comparison)}` = '{_YES}'")
    return max((str(each.version) for each in found), key=int, default=None)


def _tag(comparison: str) -> str:
    return f"iamsb.lost.{comparison[:_DIGITS]}"
