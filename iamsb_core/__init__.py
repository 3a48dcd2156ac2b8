"""The science of IaMSB: when, and in which stream, an audio-visual video was forged.

from iamsb_core import localize
print(localize("talk.mp4", "path/to/model").to_json())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iamsb_core.localizer import Localization, Localizer, localize

__all__ = ["Localization", "Localizer", "localize"]


def __getattr__(name: str) -> Any:
    """The Python API, imported when first asked for: the package itself stays light."""
    if name in __all__:
        return getattr(importlib.import_module("iamsb_core.localizer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
