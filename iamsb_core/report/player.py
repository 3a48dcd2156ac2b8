"""What plays beside the time line: the examined file where it lies, or inside the page, with the findings as captions.

A page that is opened elsewhere, or without the file, lets its reader choose a file; the page itself never fails.
"""

from __future__ import annotations

import base64
import logging
import mimetypes
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

log = logging.getLogger(__name__)

MOST_EMBEDDED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Player:
    """Addresses to try in turn."""

    sources: tuple[str, ...] = ()
    embedded: bool = False
    captions: str = ""
    """WebVTT as a data URI"""

    @property
    def ready(self) -> bool:
        """Whether there is anything to play before a reader chooses a file."""
        return bool(self.sources)


def player(media: Path | None, folder: Path | None, captions: str, *, embed: bool = False) -> Player:
    """For the page that is written into `folder` (None: nobody knows where).

    The file is named by its path from there, which survives moving both, and by its absolute one, which survives
    moving the page. With `embed` its bytes go into the page, up to 64 MiB; a larger file is named as well, and that
    is logged. Without a file, nothing.
    """
    track = _data_uri("text/vtt", captions.encode("utf-8", "backslashreplace"))
    if media is None or not media.is_file():
        return Player(captions=track)
    if embed and media.stat().st_size <= MOST_EMBEDDED_BYTES:
        kind = mimetypes.guess_type(media.name)[0] or "video/mp4"
        return Player(sources=(_data_uri(kind, media.read_bytes()),), embedded=True, captions=track)
    if embed:
        size, most = media.stat().st_size >> 20, MOST_EMBEDDED_BYTES >> 20
        log.warning("%s is too large to embed (%d MiB, at most %d); the page names it instead", media, size, most)
    absolute = media.absolute().as_uri()
    if folder is None:
        return Player(sources=(absolute,), captions=track)
    return Player(sources=(_relative(media, folder), absolute), captions=track)


def _relative(media: Path, folder: Path) -> str:
    """The path from the folder as a URL; the dot keeps a name such as `a:b.mp4` from being a scheme."""
    path = os.path.relpath(media.absolute(), folder.absolute())
    return "./" + quote(os.fsencode(path.replace(os.sep, "/")))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
