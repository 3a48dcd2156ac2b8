"""Which files of a folder are media, by their names alone."""

from __future__ import annotations

import os
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".h264", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)
AUDIO_SUFFIXES = frozenset(
    {".aac", ".ac3", ".aif", ".aiff", ".amr", ".flac", ".m4a", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"}
)


def find_media(folder: Path, suffixes: frozenset[str]) -> tuple[Path, ...]:
    """Every file below the folder with one of the suffixes (any case), relative to it, sorted; hidden ones left out.

    Folders reached through a symbolic link are followed once: a link that leads back up is not.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(parent)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        wanted = (name for name in names if Path(name).suffix.lower() in suffixes and not name.startswith("."))
        found.extend(Path(parent, name).relative_to(folder) for name in wanted)
    return tuple(sorted(found))


def safe_relative_path(text: str, where: str) -> Path:
    """The path of a manifest entry. Raises ValueError where it is empty, absolute or leads out of the root.

    Absolute paths are refused in a manifest of one's own too: a list that came with a download could name any file of
    this machine. Put the manifest into a folder above all its videos, or link them in (`containment`).
    """
    path = Path(text)
    if not text.strip() or path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text:
        raise ValueError(f"{where}: {text!r} is not a path below the dataset's root; write it relative, with /")
    return path


def listing(folder: Path, limit: int = 8) -> str:
    """The first names in a folder, for an error that says what was found."""
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) + more) if names else "nothing"
