"""Whether a file that a dataset lists lies in the dataset's own folder, symbolic links followed.

Metadata and links come with a download; where a link leads is then the maker's choice and not the user's. So a path
that leaves the root through a link is not read, unless the place it leads to was named by the user: IAMSB_LINKED_MEDIA
holds folders, with colons between them, as a search path does. The root itself may be a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

LINKED_VARIABLE = "IAMSB_LINKED_MEDIA"


def linked_folders(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The folders outside a dataset that its links may lead to."""
    return tuple(Path(part).expanduser() for part in environ.get(LINKED_VARIABLE, "").split(os.pathsep) if part)


class Enclosure:
    """A dataset's root, and the other folders that links from it may lead to.

    A million files cost a look at each, and one resolution for each folder that they lie in.
    """

    def __init__(self, root: Path, linked: Iterable[Path] | None = None) -> None:
        also = linked_folders() if linked is None else tuple(linked)
        self._roots = tuple(os.path.realpath(folder) for folder in (root, *also))
        self._real_folders: dict[str, str] = {}

    def outside(self, path: Path) -> str | None:
        """Where the path leads, if that is none of the folders; None where it stays inside."""
        folder, name = os.path.split(path)
        real = self._real_folders.get(folder)
        if real is None:
            real = self._real_folders[folder] = os.path.realpath(folder)
        place = f"{real}/{name}"
        if Path(place).is_symlink():
            place = os.path.realpath(place)
        return None if self._holds(place) else place

    def _holds(self, place: str) -> bool:
        return any(place == root or place.startswith(root.rstrip("/") + "/") for root in self._roots)


def way_out(place: str) -> str:
    """What to say of a listed file that leads to that place."""
    return (
        f"it is, or lies behind, a link out of the dataset's folder, to {place}; copy it in, or name "
        f"{Path(place).parent} in {LINKED_VARIABLE} if you trust who made the link"
    )
