"""Datasets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iamsb_core.datasets.fields import suggestion
from iamsb_core.datasets.generic import read_generic
from iamsb_core.datasets.lavdf import read_lavdf
from iamsb_core.manifest import Manifest

READERS: dict[str, Callable[[Path], Manifest]] = {
    "lavdf": read_lavdf,
    "demo": lambda root: read_lavdf(root, name="demo"),
    "generic": read_generic,
}
"""`demo` is what the forgery builder writes: LAV-DF's layout"""


def read_dataset(name: str, root: Path) -> Manifest:
    """The manifest of a dataset in a known layout. Raises ValueError for an unknown name or another layout."""
    if name not in READERS:
        hint = suggestion(name, READERS)
        raise ValueError(f"no dataset is called {name!r}{hint}; known are {', '.join(sorted(READERS))}")
    return READERS[name](root)
