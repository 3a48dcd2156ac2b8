"""Datasets by name."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from pathlib import Path

from iamsb_core.datasets.av_deepfake1m import read_av_deepfake1m, read_av_deepfake1m_plusplus
from iamsb_core.datasets.ddl_av import read_ddl_av
from iamsb_core.datasets.dfdc import read_dfdc, read_dfdc_preview
from iamsb_core.datasets.fakeavceleb import read_fakeavceleb
from iamsb_core.datasets.fields import suggestion
from iamsb_core.datasets.generic import read_generic
from iamsb_core.datasets.lavdf import read_lavdf
from iamsb_core.datasets.tvil import read_tvil
from iamsb_core.manifest import Manifest

READERS: dict[str, Callable[[Path], Manifest]] = {
    "lavdf": read_lavdf,
    "tvil": read_tvil,
    "av-deepfake1m": read_av_deepfake1m,
    "av-deepfake1m-plusplus": read_av_deepfake1m_plusplus,
    "ddl-av": read_ddl_av,
    "fakeavceleb": read_fakeavceleb,
    "dfdc": read_dfdc,
    "dfdc-preview": read_dfdc_preview,
    "demo": lambda root: read_lavdf(root, name="demo"),
    "generic": read_generic,
}
"""`demo` is what the forgery builder writes: LAV-DF's layout"""


def read_dataset(name: str, root: Path) -> Manifest:
    """The manifest of a dataset in a known layout. Raises ValueError for an unknown name or another layout."""
    if name not in READERS:
        hint = suggestion(name, READERS)
        raise ValueError(f"no dataset is called {name!r}{hint}; known are {', '.join(sorted(READERS))}")
    with _collector_paused():
        return READERS[name](root)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Without the garbage collector, which takes 2 s in 5 to walk records that hold no cycle over and over."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
